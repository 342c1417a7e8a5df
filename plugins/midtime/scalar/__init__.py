"""Scalar products seen through their admin service: endpoints, the client, the pause window and its watchdog.

Nothing here imports Airflow or pydantic at module level: the watchdog is a small process of its own and shares this code.
"""
