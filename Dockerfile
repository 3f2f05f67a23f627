# `s2v live` for whoever can reach port 8080 and knows the token:
#
#   docker build -t s2v .
#   docker run --rm --network host -e S2V_TOKEN=at-least-sixteen-letters s2v
#
# With --network host callers find the port that WebRTC chooses; behind a bridge it takes a TURN server (--ice-server).
# Other options follow the image's name: docker run ... s2v live --host 0.0.0.0 --max-sessions 2

# Any image with python3 of 3.11 or newer, its venv module and apt-get.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/build.txt requirements/live.txt requirements/
RUN python3 -m venv /opt/s2v \
 && /opt/s2v/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && /opt/s2v/bin/pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements/live.txt
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY s2v s2v
RUN /opt/s2v/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
# The newest of the base image's release: its archive keeps no older ones.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libegl1 libgles2 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home s2v
COPY --from=build /opt/s2v /opt/s2v
ENV PATH=/opt/s2v/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/s2v
EXPOSE 8080
# Open to everybody, and says nothing but that it runs. With --certfile it is https: give another check.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health', timeout=4)"]
# Without S2V_TOKEN a token is made at each start, and stands in the printed address.
CMD ["s2v", "live", "--host", "0.0.0.0"]
