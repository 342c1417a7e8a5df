"""``python -m midtime``, where the package is on the path and not installed, as in an Airflow image."""

from midtime.cli.main import main

main()
