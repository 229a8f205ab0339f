# The server as an image: an interpreter, the packages of requirements.txt, the code. `make image-check` takes these
# steps without a container engine; README.md says how to run it.

FROM python:3.11-slim-bookworm AS builder
WORKDIR /srv/nanobanana
COPY requirements.txt constraints.txt ./
# This stage's pip fills an environment that has none of its own. No package needs a compiler.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir -r requirements.txt
COPY . .
# Now, for the code is read-only when it runs.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /srv/nanobanana --shell /usr/sbin/nologin nanobanana
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /srv/nanobanana /srv/nanobanana
WORKDIR /srv/nanobanana
# All that it writes: data (with temporary files of uploads, so that they need no memory) and logs.
RUN install -d -o nanobanana -g nanobanana -m 700 var var/tmp logs
VOLUME ["/srv/nanobanana/var", "/srv/nanobanana/logs"]
# NODE_ENV, not APP_ENV, so that the one of an --env-file wins. VAR_DIR and LOG_DIR are the volumes by default.
ENV NODE_ENV=production \
    PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/srv/nanobanana/var/tmp
USER 10001:10001
EXPOSE 3001
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["python", "-m", "nanobanana.healthcheck"]
# --host, because HOST in a .env means the machine outside.
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0"]
