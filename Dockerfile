# An Airflow image with Midtime: docker build -t midtime .
# On Astro this file is one line, FROM and the Astro Runtime image that carries Airflow 3.3: Runtime itself then does all that follows,
# from the same packages.txt and requirements.txt (`astro dev init` shows the image's name).
FROM apache/airflow:3.3.2
USER root
COPY packages.txt /
RUN apt-get update && sed 's/#.*//' /packages.txt | xargs apt-get install -y --no-install-recommends && rm -rf /var/lib/apt/lists/*
USER airflow
COPY requirements.txt /
RUN pip install --no-cache-dir -r /requirements.txt
COPY --chown=airflow:0 . /opt/airflow
