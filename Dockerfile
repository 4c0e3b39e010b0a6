# docker build -t vqexp . && docker run --rm vqexp
# docker run --rm --gpus all -v "$PWD/store:/store" -v "$PWD/data:/data" vqexp dataset=cifar10 defense=swrd
FROM python:3.11-slim
RUN pip install --no-cache-dir uv
COPY . /vqexp
WORKDIR /vqexp
RUN uv pip install --system --no-cache .
ENV VQEXP_HOME=/store VQEXP_DATA=/data
VOLUME /store
WORKDIR /store
ENTRYPOINT ["vqexp"]
