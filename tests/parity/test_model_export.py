"""What imgtrain export writes, run by the packages that it is meant for: torch, torchvision, safetensors, onnx and
onnxruntime. The reference is torchvision's network with the same weights, or imgtrain predict where torchvision has no
such network."""

import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy
    import onnx
    import onnxruntime
    import safetensors.torch
    import timm
    import torch
    import torchvision
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {missing}; scripts/setup --tests installs it")
    sys.exit(77)

IMGTRAIN = pathlib.Path(os.environ["BIN_DIR"]) / "imgtrain"
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
SIZE, RESIZE = 64, 80
TOLERANCE = 1e-4
PRINT_LOGITS = """
print(json.dumps({"torchvision": logits.tolist(), "script": script_logits.tolist(), "onnx": onnx_logits.tolist(),
                  "whole": whole_logits.tolist(), "whole_onnx": whole_onnx_logits.tolist()}))
"""


def imgtrain(*arguments: object) -> str:
    done = subprocess.run([str(IMGTRAIN), *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Weights and running statistics as training leaves them: no layer is the identity, logits differ."""
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.2, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.num_batches_tracked.fill_(7)
    model.fc.weight.data.mul_(5)
    return model.eval()


def save(model: torch.nn.Module, path: pathlib.Path, **metadata: str) -> pathlib.Path:
    sizes = {"eval_size": str(SIZE), "eval_resize": str(RESIZE)}
    safetensors.torch.save_file(model.state_dict(), path, metadata=sizes | metadata)
    return path


def photograph(width: int, height: int, noise: int = 20) -> numpy.ndarray:
    generator = numpy.random.default_rng(3)
    y, x = numpy.mgrid[0:height, 0:width]
    smooth = numpy.stack([x * 255 // width, y * 255 // height, (x + 2 * y) % 256], axis=2)
    return (smooth + generator.integers(-noise, noise, smooth.shape)).clip(0, 255).astype(numpy.uint8)


def onnx_session(path: pathlib.Path) -> onnxruntime.InferenceSession:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


class ExportedModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.manual_seed(1)
        torch.set_num_threads(1)
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.models = {
            "resnet18": lively(torchvision.models.resnet18(num_classes=11)),
            "resnet50": lively(torchvision.models.resnet50(num_classes=1000)),
        }
        cls.images = torch.randn(3, 3, SIZE, SIZE)
        cls.logits = {}
        for name, model in cls.models.items():
            imgtrain("export", save(model, cls.root / f"{name}.safetensors"), "--out", cls.root / name)
            with torch.no_grad():
                cls.logits[name] = model(cls.images)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assertClose(self, found, expected, tolerance=TOLERANCE):
        found, expected = torch.as_tensor(found), torch.as_tensor(expected)
        self.assertEqual(found.shape, expected.shape)
        self.assertLessEqual((found - expected).abs().max().item(), tolerance * max(1.0, expected.abs().max().item()))

    def test_the_reference_tells_images_apart(self):
        for logits in self.logits.values():
            self.assertGreater((logits[0] - logits[1]).abs().max().item(), 0.01)

    def test_safetensors_and_pth_are_the_state_dict_and_load_strictly(self):
        for name, model in self.models.items():
            files = {
                "safetensors": safetensors.torch.load_file(self.root / name / f"{name}.safetensors"),
                "pth": torch.load(self.root / name / f"{name}.pth", weights_only=True),
            }
            for kind, state in files.items():
                with self.subTest(name, kind=kind):
                    self.assertEqual(set(state), set(model.state_dict()))
                    for key, tensor in model.state_dict().items():
                        self.assertEqual(state[key].dtype, tensor.dtype, key)
                        self.assertTrue(torch.equal(state[key], tensor), key)
                    fresh = torchvision.models.get_model(name, num_classes=model.fc.out_features)
                    fresh.load_state_dict(state, strict=True)
                    with torch.no_grad():
                        self.assertTrue(torch.equal(fresh.eval()(self.images), self.logits[name]))
        self.assertEqual(list(files["pth"]), list(model.state_dict()))

    def test_torchscript_gives_the_same_logits_and_the_same_state_dict(self):
        for name, model in self.models.items():
            with self.subTest(name):
                extra = {"model-card.json": ""}
                script = torch.jit.load(self.root / name / f"{name}.torchscript.pt", _extra_files=extra)
                with torch.no_grad():
                    self.assertClose(script(self.images), self.logits[name])
                self.assertEqual(set(script.state_dict()), set(model.state_dict()))
                script.load_state_dict(model.state_dict(), strict=True)
                self.assertFalse(script.training)
                self.assertEqual(script.eval()(self.images[:1]).shape, (1, model.fc.out_features))
                self.assertEqual(json.loads(extra["model-card.json"])["model"]["name"], name)

    def test_onnx_is_sound_and_gives_the_same_logits_for_any_batch(self):
        for name, model in self.models.items():
            with self.subTest(name):
                session = onnx_session(self.root / name / f"{name}.onnx")
                self.assertEqual([(i.name, i.shape) for i in session.get_inputs()], [("input", ["batch", 3, SIZE, SIZE])])
                self.assertEqual([o.name for o in session.get_outputs()], ["logits"])
                for count in (1, 3):
                    (logits,) = session.run(None, {"input": self.images[:count].numpy()})
                    self.assertClose(logits, self.logits[name][:count])
                metadata = session.get_modelmeta().custom_metadata_map
                self.assertEqual(metadata["model"], name)
                card = json.loads(metadata["model_card"])
                self.assertEqual(len(card["classes"]), model.fc.out_features)

    def test_folded_and_frozen_networks_give_the_same_logits(self):
        out = self.root / "folded"
        for options in (["--fold-bn"], ["--freeze"], ["--fold-bn", "--freeze"]):
            formats = ["--format", "torchscript"] + ([] if "--freeze" in options else ["--format", "onnx"])
            imgtrain("export", self.root / "resnet18.safetensors", "--out", out, *formats, *options)
            with self.subTest(options):
                script = torch.jit.load(out / "resnet18.torchscript.pt")
                with torch.no_grad():
                    self.assertClose(script(self.images), self.logits["resnet18"])
                self.assertFalse([key for key in script.state_dict() if "running" in key])
        graph = onnx.load(out / "resnet18.onnx").graph
        self.assertNotIn("BatchNormalization", {node.op_type for node in graph.node})
        (logits,) = onnx_session(out / "resnet18.onnx").run(None, {"input": self.images.numpy()})
        self.assertClose(logits, self.logits["resnet18"])

    def test_predictions_are_those_of_torchvision_on_what_pillow_sees(self):
        model = self.models["resnet18"]
        for width, height in ((150, 97), (64, 80), (33, 200)):
            pixels = photograph(width, height)
            path = self.root / f"{width}x{height}.png"
            Image.fromarray(pixels).save(path)
            view = torchvision.transforms.Compose([
                torchvision.transforms.Resize(RESIZE), torchvision.transforms.CenterCrop(SIZE)])
            seen = torch.from_numpy(numpy.array(view(Image.fromarray(pixels)))).float() / 255
            with torch.no_grad():
                expected = model(((seen - MEAN) / DEVIATION).permute(2, 0, 1)[None]).softmax(1)[0]
            line = json.loads(imgtrain("predict", self.root / "resnet18.safetensors", path, "--json", "--top", 11))
            self.assertEqual([guess["index"] for guess in line["top"]], expected.argsort(descending=True).tolist())
            found = torch.zeros(11)
            for guess in line["top"]:
                found[guess["index"]] = guess["probability"]
            self.assertClose(found, expected, 1e-5)

    def preprocessing_exported(self, source: pathlib.Path, *options: object):
        out = self.root / "whole"
        imgtrain("export", source, "--out", out, "--with-preprocessing", "--fold-bn", "--format", "torchscript",
                 "--format", "onnx", *options)
        return torch.jit.load(out / "resnet18.torchscript.pt"), onnx_session(out / "resnet18.onnx")

    def test_preprocessing_inside_sees_what_the_tensor_transforms_of_torchvision_see(self):
        model, source = self.models["resnet18"], self.root / "resnet18.safetensors"
        for interpolation in ("bilinear", "bicubic"):
            script, session = self.preprocessing_exported(source, "--interpolation", interpolation)
            # Odd and even remainders of the crop, upright and wide, growing and shrinking.
            for width, height in ((150, 97), (97, 150), (81, 81), (40, 61), (64, 80)):
                batch = torch.from_numpy(numpy.stack([photograph(width, height), photograph(width, height)[::-1, ::-1]]))
                mode = torchvision.transforms.InterpolationMode(interpolation)
                seen = torchvision.transforms.functional.resize(
                    batch.permute(0, 3, 1, 2).float(), RESIZE, mode, antialias=True)
                seen = torchvision.transforms.functional.center_crop(seen, SIZE).round().clamp(0, 255) / 255
                with torch.no_grad():
                    expected = model((seen - MEAN.view(3, 1, 1)) / DEVIATION.view(3, 1, 1))
                    with self.subTest(interpolation, width=width, height=height, kind="torchscript"):
                        self.assertClose(script(batch), expected)
                with self.subTest(interpolation, width=width, height=height, kind="onnx"):
                    (logits,) = session.run(None, {"images": batch.numpy()})
                    # A value between two bytes may be rounded either way by the two resamplers.
                    self.assertClose(logits, expected, 5e-3)

    def test_preprocessing_inside_is_near_to_predict(self):
        source, image = self.root / "resnet18.safetensors", photograph(150, 97)
        Image.fromarray(image).save(self.root / "one.png")
        for options in ([], ["--eval-crop-ratio", 0.875]):
            script, session = self.preprocessing_exported(source, *options)
            batch = torch.from_numpy(image)[None]
            line = json.loads(imgtrain("predict", source, self.root / "one.png", "--json", "--top", 11, *options))
            expected = torch.tensor([g["probability"] for g in sorted(line["top"], key=lambda g: g["index"])])
            with torch.no_grad():
                self.assertClose(script(batch).softmax(1)[0], expected, 5e-3)
            (logits,) = session.run(None, {"images": batch.numpy()})
            self.assertClose(torch.from_numpy(logits).softmax(1)[0], expected, 5e-3)

    def test_every_variant_of_the_network_exports_to_what_predict_runs(self):
        plain = self.models["resnet18"].state_dict
        deep = lively(timm.models.resnet.ResNet(
            timm.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=11, stem_type="deep", stem_width=32, avg_down=True))
        deep50 = lively(timm.models.resnet.ResNet(
            timm.models.resnet.Bottleneck, [3, 4, 6, 3], num_classes=11, stem_type="deep", stem_width=32, avg_down=True))
        image = photograph(90, 80, noise=200)
        Image.fromarray(image).save(self.root / "v.png")
        view = Image.fromarray(image).resize((90, 80)).crop((13, 8, 77, 72))
        x = ((torch.from_numpy(numpy.array(view)).float() / 255 - MEAN) / DEVIATION).permute(2, 0, 1)[None]
        variants = {
            "ffcv": (self.models["resnet18"], {"blurpool": "ffcv"}),
            "composer": (self.models["resnet18"], {"blurpool": "composer"}),
            "deep": (deep, {"stem": "deep", "downsample": "average"}),
            "deep50 blurred": (deep50, {"stem": "deep", "downsample": "average", "blurpool": "composer"}),
        }
        answers = []
        for name, (model, metadata) in variants.items():
            source = save(model, self.root / f"{name}.safetensors", **metadata)
            line = json.loads(imgtrain("predict", source, self.root / "v.png", "--json", "--top", 11))
            expected = torch.tensor([g["probability"] for g in sorted(line["top"], key=lambda g: g["index"])])
            if "blurpool" not in metadata:
                with torch.no_grad():
                    self.assertClose(model(x).softmax(1)[0], expected, 1e-5)
            for options in ([], ["--fold-bn"]):
                out = self.root / "variant"
                files = [json.loads(row) for row in imgtrain(
                    "export", source, "--out", out, "--json", "--format", "torchscript", "--format", "onnx",
                    *options).splitlines()]
                paths = {file["format"]: pathlib.Path(file["path"]) for file in files}
                with self.subTest(name, options=options), torch.no_grad():
                    script = torch.jit.load(paths["torchscript"])
                    answers.append(script(x))
                    self.assertClose(answers[-1].softmax(1)[0], expected, 1e-5)
                    (logits,) = onnx_session(paths["onnx"]).run(None, {"input": x.numpy()})
                    self.assertClose(torch.from_numpy(logits).softmax(1)[0], expected, 1e-5)
        # The options change what the network answers: a blur that was left out would be noticed.
        with torch.no_grad():
            kinds = [self.models["resnet18"](x), answers[0], answers[2]]
        for a, b in itertools.combinations(kinds, 2):
            self.assertGreater((a.softmax(1) - b.softmax(1)).abs().max().item(), 50 * 1e-5)

    def test_the_programs_of_the_documentation_run_and_agree(self):
        page = (pathlib.Path(os.environ["PROJECT_DIR"]) / "docs" / "deployment.md").read_text()
        programs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        self.assertEqual(len(programs), 2)
        there = self.root / "documentation"
        there.mkdir()
        Image.fromarray(photograph(150, 97)).save(there / "cat.jpg")
        source = self.root / "resnet50.safetensors"
        imgtrain("export", source, "--out", there / "export")
        imgtrain("export", source, "--out", there / "whole", "--with-preprocessing", "--format", "torchscript", "--format", "onnx")
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(programs) + PRINT_LOGITS], cwd=there, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        name, numbers = done.stdout.strip().splitlines()
        found = {key: torch.tensor(values) for key, values in json.loads(numbers).items()}
        for key in ("script", "onnx"):
            self.assertClose(found[key], found["torchvision"])
        for key in ("whole", "whole_onnx"):
            self.assertClose(found[key], found["torchvision"], 2e-2)
        line = json.loads(imgtrain("predict", source, there / "cat.jpg", "--json"))
        self.assertEqual(line["top"][0]["name"], name)

    def test_the_card_says_what_a_user_needs(self):
        card = json.loads((self.root / "resnet50" / "model-card.json").read_text())
        self.assertEqual(card["model"]["parameters"], 25_557_032)
        self.assertEqual(card["preprocessing"]["size"], SIZE)
        self.assertEqual(card["preprocessing"]["resize_short_side"], RESIZE)
        self.assertEqual(card["classes"][0], {"index": 0, "wnid": "n01440764", "name": "tench, Tinca tinca"})
        self.assertEqual({file["format"] for file in card["files"]}, {"safetensors", "pth", "torchscript", "onnx"})
        for file in card["files"]:
            self.assertEqual((self.root / "resnet50" / file["name"]).stat().st_size, file["bytes"])
        self.assertNotIn("accuracy", card)
        text = (self.root / "resnet50" / "model-card.md").read_text()
        self.assertIn("| 999 | n15075141 | toilet tissue, toilet paper, bathroom tissue |", text)


if __name__ == "__main__":
    unittest.main()
