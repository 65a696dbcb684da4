# One image for migrate, dispatcher, worker and flower. The servers that `recordings up` brings as wheels are not in it.
FROM python:3.13.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/recordings
COPY requirements.txt requirements-dev.txt ./
# Wheels only: nothing is compiled here, and no package runs code of its own while it is installed.
RUN pip --python /opt/recordings/bin/python install --only-binary :all: --require-hashes -r requirements.txt
# The build tool too by its hash, which only the developers' file has.
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements-dev.txt > build.txt \
    && pip install --only-binary :all: --require-hashes -r build.txt
COPY pyproject.toml README.md LICENSE celeryconfig.py ./
COPY schema schema
COPY workers workers
COPY tasks tasks
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheel . \
    && pip --python /opt/recordings/bin/python install --no-deps --no-index wheel/*.whl

FROM python:3.13.14-slim-bookworm
RUN groupadd --gid 10001 recordings \
    && useradd --uid 10001 --gid recordings --no-create-home --home-dir /tmp --shell /usr/sbin/nologin recordings
COPY --from=build /opt/recordings /opt/recordings
ENV PATH=/opt/recordings/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Celery and Flower load configuration from the folder they start in: it must be one that only root can write.
WORKDIR /opt/recordings
USER 10001:10001
CMD ["recordings", "--help"]
