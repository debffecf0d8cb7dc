# imgpack and imgtrain, for CPUs and GPUs alike: libtorch's CUDA build runs on both. From the root of a checkout:
#   docker build -f scripts/docker/imgtrain.Dockerfile -t imgtrain .
#   docker run --rm -v /mnt/data:/data imgtrain --shards /data/imagenet.shards --recipe fast --out /data/runs/r1
#   docker run --rm --gpus all --shm-size=8g -v /mnt/data:/data imgtrain doctor /data
# Several GPUs need --shm-size; the host needs driver 580 or later and the NVIDIA Container Toolkit.
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN scripts/setup \
 && cmake --preset release -DIMGPACK_TESTS=OFF \
 && cmake --build --preset release \
 && scripts/package --out /out full \
 && mkdir /package \
 && tar -xzf /out/imgtrain-*.tar.gz -C /package --strip-components=1 \
 && rm -r .venv/lib/python3.11/site-packages/nvidia/cu13/bin .venv/lib/python3.11/site-packages/nvidia/cu13/nvvm

FROM debian:12-slim
# Headers and compilers stay behind; libtorch and NVIDIA's libraries come from the same pinned wheels as in the build.
COPY --from=build /package /opt/imgpack
COPY --from=build /src/.venv/lib/python3.11/site-packages/torch/lib /opt/site-packages/torch/lib
COPY --from=build /src/.venv/lib/python3.11/site-packages/torch/version.py /opt/site-packages/torch/version.py
COPY --from=build /src/.venv/lib/python3.11/site-packages/nvidia /opt/site-packages/nvidia
ENV PATH=/opt/imgpack/bin:$PATH \
    IMGTRAIN_LIBTORCH=/opt/site-packages/torch \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["imgtrain"]
CMD ["--help"]
