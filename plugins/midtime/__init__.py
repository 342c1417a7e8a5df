"""Transactionally consistent backup, restore and restore drills for ScalarDB and ScalarDL, as Airflow DAGs."""

__version__ = "0.1.0"
