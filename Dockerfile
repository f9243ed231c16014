# The product as one image: `opportunities serve` by default, any other verb in its place.
FROM python:3.13-slim

WORKDIR /srv
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
COPY pyproject.toml requirements.lock ./
# Of the locked packages, those that run the product; at the locked versions, with their hashes.
RUN uv pip compile --quiet --generate-hashes --constraint requirements.lock pyproject.toml --output-file runtime.txt \
    && uv pip install --system --compile-bytecode --requirements runtime.txt
COPY README.md LICENSE ./
COPY app app
COPY consumers consumers
COPY domain domain
COPY projections projections
RUN uv pip install --system --no-deps . && useradd --system --uid 10001 opportunities

# By number, so that Kubernetes can tell that it is not root.
USER 10001
EXPOSE 8000
ENV OPPORTUNITIES_HOST=0.0.0.0
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["opportunities"]
CMD ["serve"]
