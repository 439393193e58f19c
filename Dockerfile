# One image for bridge, worker, gateway and simulator; the command says which.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY sensors sensors
COPY streams streams
COPY control_center control_center
COPY simulators simulators
RUN python -m venv /opt/ioc && /opt/ioc/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/ioc --create-home ioc
COPY --from=build /opt/ioc /opt/ioc
ENV PATH=/opt/ioc/bin:$PATH PYTHONUNBUFFERED=1
USER ioc
WORKDIR /var/lib/ioc
ENTRYPOINT ["ioc"]
CMD ["--help"]
