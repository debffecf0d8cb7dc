# A trained model as an AWS Lambda function (custom runtime: imgtrain itself speaks the runtime API). From a folder that
# holds the weights, after `docker build -f scripts/docker/imgtrain.Dockerfile -t imgtrain:0.1.0 .`:
#   docker build -f scripts/docker/lambda.Dockerfile --build-arg MODEL=resnet50.safetensors -t classifier FOLDER
#   scripts/aws/lambda-deploy.sh --help
# Lambda gives an image 10 GB at most, a read-only root, and as much CPU as memory: 3,008 MB is a good beginning.
ARG IMGTRAIN_IMAGE=imgtrain:0.1.0
FROM ${IMGTRAIN_IMAGE}
ARG MODEL=model.safetensors
COPY --chmod=0444 ${MODEL} /model/model.safetensors
# A function has the cores that its memory buys: decoding and the network share them.
ENV OMP_NUM_THREADS=2
ENTRYPOINT ["imgtrain", "serve", "/model/model.safetensors", "--lambda"]
CMD []
