"""The nouns, as data: topology, restore point, instants. Pure: no Airflow, no drivers, no network."""
