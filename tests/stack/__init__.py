"""The real parts that tests and the demo run on: PostgreSQL, ScalarDB Server with a bank, and a local Airflow."""
