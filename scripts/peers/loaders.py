"""One loader in this process: prints `{"images_per_second": …, "mean": …}`.

    loaders.py NAME train|eval THREADS SECONDS CORPUS

Each function returns an iterator that never ends, of uint8 batches of BATCH pictures of 224 x 224. Training is a random
resized crop (scale 0.08 to 1, ratio 3/4 to 4/3) and a flip; evaluation is the short side to 256 and the centre 224. The
resize is antialiased and bilinear where the loader can do that.
"""

import glob
import json
import os
import sys
import time

BATCH = 128
SIZE = 224
SHORT = 256
ENDLESS = 1_000_000  # Images in an "epoch" of loaders that want to know.
WARM_UP_SECONDS = 1.5


def torch_batches(dataset, threads, sampler=None):
    import torch

    torch.set_num_threads(1)
    if sampler is None and not isinstance(dataset, torch.utils.data.IterableDataset):
        sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=ENDLESS)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=BATCH, sampler=sampler, num_workers=threads, drop_last=True, worker_init_fn=one_thread
    )
    while True:
        for batch in loader:
            yield batch[0]


def one_thread(_):
    import torch

    torch.set_num_threads(1)


def pil_transform(train):
    from torchvision import transforms

    if train:
        steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip()]
    else:
        steps = [transforms.Resize(SHORT), transforms.CenterCrop(SIZE)]
    return transforms.Compose([*steps, transforms.PILToTensor()])


def torchvision_pil(train, threads, corpus):
    from torchvision.datasets import ImageFolder

    return torch_batches(ImageFolder(f"{corpus}/files", pil_transform(train)), threads)


def torchvision_v2(train, threads, corpus):
    from torchvision import io
    from torchvision.datasets import DatasetFolder
    from torchvision.transforms import v2

    if train:
        steps = [v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip()]
    else:
        steps = [v2.Resize(SHORT, antialias=True), v2.CenterCrop(SIZE)]
    read = lambda path: io.decode_jpeg(io.read_file(path), mode=io.ImageReadMode.RGB)
    return torch_batches(DatasetFolder(f"{corpus}/files", read, (".jpeg",), v2.Compose(steps)), threads)


def timm(train, threads, corpus):
    import torch
    from timm.data import create_transform
    from timm.data.loader import fast_collate
    from torchvision.datasets import ImageFolder

    transform = create_transform(
        SIZE,
        is_training=train,
        use_prefetcher=True,
        color_jitter=None,
        interpolation="bilinear",
        crop_pct=SIZE / SHORT,
    )
    torch.set_num_threads(1)
    dataset = ImageFolder(f"{corpus}/files", transform)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=BATCH,
        sampler=torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=ENDLESS),
        num_workers=threads,
        collate_fn=fast_collate,
        worker_init_fn=one_thread,
    )
    for images, _ in loader:
        yield images


def webdataset(train, threads, corpus):
    import webdataset as wds

    transform = pil_transform(train)
    dataset = (
        wds.WebDataset(sorted(glob.glob(f"{corpus}/webdataset/*.tar")), shardshuffle=8, empty_check=False)
        .shuffle(1000, initial=100)
        .decode("pilrgb")
        .to_tuple("jpg", "cls")
        .map_tuple(transform, None)
        .repeat()
    )
    return torch_batches(dataset, threads)


def streaming(train, threads, corpus):
    import streaming as mds
    from io import BytesIO
    from PIL import Image

    mds.base.util.clean_stale_shared_memory()
    transform = pil_transform(train)

    class Decoded(mds.StreamingDataset):
        def __getitem__(self, i):
            sample = super().__getitem__(i)
            return transform(Image.open(BytesIO(sample["x"])).convert("RGB")), sample["y"]

    dataset = Decoded(streams=[mds.Stream(local=f"{corpus}/mds", repeat=20)], batch_size=BATCH, shuffle=True)
    return torch_batches(dataset, threads)


def dali(train, threads, corpus):
    import nvidia.dali.fn as fn
    import nvidia.dali.types as types
    from nvidia.dali import pipeline_def

    @pipeline_def(batch_size=BATCH, num_threads=threads, device_id=None, prefetch_queue_depth=2)
    def pipe():
        jpegs, labels = fn.readers.file(file_root=f"{corpus}/files", random_shuffle=True)
        if train:
            images = fn.decoders.image_random_crop(
                jpegs, output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
            )
            images = fn.resize(images, size=(SIZE, SIZE), antialias=True)
            return fn.flip(images, horizontal=fn.random.coin_flip()), labels
        images = fn.decoders.image(jpegs, output_type=types.RGB)
        images = fn.resize(images, resize_shorter=SHORT, antialias=True)
        return fn.crop(images, crop=(SIZE, SIZE)), labels

    built = pipe()
    built.build()
    while True:
        yield built.run()[0].as_array()


def tf_data(train, threads, corpus, antialias):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)

    def shrink(image, height, width):
        image = tf.image.resize(image, [height, width], method="bilinear", antialias=antialias)
        return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

    def parse(text):
        jpeg = tf.io.parse_single_example(text, {"x": tf.io.FixedLenFeature([], tf.string)})["x"]
        shape = tf.io.extract_jpeg_shape(jpeg)
        if train:
            begin, size, _ = tf.image.sample_distorted_bounding_box(
                shape,
                tf.zeros([1, 0, 4]),
                aspect_ratio_range=[3 / 4, 4 / 3],
                area_range=[0.08, 1.0],
                max_attempts=10,
                use_image_if_no_bounding_boxes=True,
            )
            window = tf.stack([begin[0], begin[1], size[0], size[1]])
            image = tf.image.decode_and_crop_jpeg(jpeg, window, channels=3)
            return tf.image.random_flip_left_right(shrink(image, SIZE, SIZE))
        # The centre crop in the picture's own pixels: nothing beside it is decoded.
        side = tf.cast(tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * SIZE / SHORT, tf.int32)
        window = tf.stack([(shape[0] - side) // 2, (shape[1] - side) // 2, side, side])
        return shrink(tf.image.decode_and_crop_jpeg(jpeg, window, channels=3), SIZE, SIZE)

    files = sorted(glob.glob(f"{corpus}/tfrecord/*.tfrecord"))
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    options.deterministic = False
    data = tf.data.TFRecordDataset(files).shuffle(1000).repeat().map(parse, num_parallel_calls=threads)
    data = data.batch(BATCH, drop_remainder=True).prefetch(2).with_options(options)
    for batch in data:
        yield batch.numpy()


def tf_data_aliased(train, threads, corpus):
    return tf_data(train, threads, corpus, antialias=False)


def tf_data_antialiased(train, threads, corpus):
    return tf_data(train, threads, corpus, antialias=True)


def ffcv(train, threads, corpus, beton="original"):
    import numpy
    from ffcv.fields.rgb_image import CenterCropRGBImageDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip

    path = f"{corpus}/{beton}.beton"
    if train:
        image = [RandomResizedCropRGBImageDecoder((SIZE, SIZE)), RandomHorizontalFlip()]
    else:
        image = [CenterCropRGBImageDecoder((SIZE, SIZE), ratio=SIZE / SHORT)]
    count = len(glob.glob(f"{corpus}/files/*/*"))
    loader = Loader(
        path,
        batch_size=BATCH,
        num_workers=threads,
        order=OrderOption.RANDOM,
        os_cache=True,
        indices=numpy.tile(numpy.arange(count), 20),
        pipelines={"image": image, "label": None},
    )
    while True:
        for batch in loader:
            yield batch[0]


def ffcv_max500(train, threads, corpus):
    return ffcv(train, threads, corpus, "max500")


def main():
    name, transform, threads, seconds, corpus = sys.argv[1:]
    batches = globals()[name](transform == "train", int(threads), corpus)
    images, total, checked = 0, 0.0, 0
    begin = time.monotonic()
    first = None  # When the first batch that counts had come.
    for batch in batches:
        now = time.monotonic()
        if first is None:
            assert tuple(batch.shape) in ((BATCH, SIZE, SIZE, 3), (BATCH, 3, SIZE, SIZE)), batch.shape
            assert str(batch.dtype) in ("uint8", "torch.uint8"), batch.dtype
            total += float(batch[:16].float().mean() if hasattr(batch, "float") else batch[:16].mean())
            checked += 1
            # Prefetched batches would flatter a slow loader: three go by, and the machine gets warm.
            if checked >= 4 and now - begin >= WARM_UP_SECONDS:
                first = time.monotonic()
            continue
        images += BATCH
        if now - first >= float(seconds):
            print(json.dumps({"images_per_second": images / (now - first), "mean": total / checked}), flush=True)
            os._exit(0)  # Worker processes of an endless loader are not waited for.


if __name__ == "__main__":
    main()
