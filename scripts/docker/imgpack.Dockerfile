# imgpack alone: packs, verifies and repairs. From the root of a checkout:
#   docker build -f scripts/docker/imgpack.Dockerfile -t imgpack .
#   docker run --rm -v /mnt/data:/data imgpack build /data/imagenet
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN scripts/setup --no-torch \
 && cmake --preset no-torch -DIMGPACK_TESTS=OFF \
 && cmake --build --preset no-torch \
 && scripts/package --build build/no-torch --out /out imgpack \
 && mkdir /package \
 && tar -xzf /out/imgpack-*.tar.gz -C /package --strip-components=1

FROM debian:12-slim
COPY --from=build /package /opt/imgpack
ENV PATH=/opt/imgpack/bin:$PATH
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["imgpack"]
CMD ["--help"]
