"""Container files and cluster examples, as far as a machine without Docker, Slurm or AWS can tell: they parse, and every
file, script, verb, preset and option that they name exists."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_docs  # noqa: E402

BIN, PROJECT = test_docs.BIN, test_docs.PROJECT

DOCKERFILES = sorted((PROJECT / "scripts" / "docker").glob("*.Dockerfile"))
# From source, in two stages; and those that put a model into such an image.
BUILT = [path for path in DOCKERFILES if " AS build" in path.read_text()]
DERIVED = [path for path in DOCKERFILES if path not in BUILT]
INSTRUCTIONS = {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD", "LABEL", "ARG"}


def instructions(path):
    """(instruction, rest) with continuation lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M)
    return [tuple(line.split(None, 1)) for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]


def faults(line):
    checker = test_docs.Docs("test_every_page_is_reached_from_the_index")
    return [fault for program, words in test_docs.commands(line) if (fault := checker.fault(program, words))]


class Examples(unittest.TestCase):
    def test_container_files_have_known_instructions_two_stages_and_no_root(self):
        self.assertEqual([path.name for path in BUILT], ["imgpack.Dockerfile", "imgtrain.Dockerfile"])
        for path in BUILT:
            lines = instructions(path)
            self.assertLessEqual({name for name, _ in lines}, INSTRUCTIONS, path)
            bases = [rest.split()[0] for name, rest in lines if name == "FROM"]
            self.assertEqual(len(bases), 2, path)
            for base in bases:
                self.assertRegex(base, r"^[a-z]+:[\w.-]+$", "a base image has a version")
            last_stage = lines[max(i for i, (name, _) in enumerate(lines) if name == "FROM") :]
            self.assertRegex(dict(last_stage)["USER"], r"^\d+:\d+$")
            for name in ("ENTRYPOINT", "CMD"):
                self.assertIsInstance(yaml.safe_load(dict(last_stage)[name]), list, "exec form: signals reach the program")

    def test_container_files_that_add_a_model_take_an_image_of_the_programs(self):
        self.assertEqual([path.name for path in DERIVED], ["lambda.Dockerfile"])
        for path in DERIVED:
            lines = instructions(path)
            self.assertLessEqual({name for name, _ in lines}, INSTRUCTIONS, path)
            argument, _, image = lines[0][1].partition("=")
            self.assertEqual((lines[0][0], lines[1]), ("ARG", ("FROM", f"${{{argument}}}")))
            self.assertRegex(image, r"^[a-z]+:[\w.-]+$", "a base image has a version")
            self.assertNotIn("USER", dict(lines), "that of the programs' image, which is not root")
            for name in ("ENTRYPOINT", "CMD"):
                self.assertIsInstance(yaml.safe_load(dict(lines)[name]), list, "exec form: signals reach the program")

    def test_what_container_files_copy_between_stages_is_made_by_the_first(self):
        for path in DOCKERFILES:
            lines = instructions(path)
            made = " ".join(rest for name, rest in lines if name == "RUN")
            for rest in (rest for name, rest in lines if name == "COPY" and "--from=build" in rest):
                source = rest.split()[1]
                self.assertTrue(source in made or source.startswith("/src/.venv/"), source)

    def test_commands_in_container_files_and_jobs_exist(self):
        seen = 0
        for path in [*DOCKERFILES, *sorted((PROJECT / "docs" / "examples").glob("*.sbatch"))]:
            text = path.read_text()
            # The commands of the head comment are shown to people: they count too.
            lines = re.sub(r"\\\n", " ", text).splitlines()
            for line in lines:
                line = re.sub(r"^(RUN|#\s+)\s*", "", line).strip()
                seen += len(list(test_docs.commands(line)))
                self.assertEqual(faults(line), [], f"{path.name}: {line}")
        self.assertGreater(seen, 6)

    def test_hadolint_finds_nothing(self):
        hadolint = pathlib.Path(sys.executable).parent / "hadolint"
        if not hadolint.exists():
            self.skipTest("hadolint is not installed: scripts/setup --tests")
        done = subprocess.run([hadolint, *DOCKERFILES], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_presets_that_container_files_name_exist(self):
        presets = {p["name"] for p in yaml.safe_load((PROJECT / "CMakePresets.json").read_text())["configurePresets"]}
        for path in BUILT:
            named = re.findall(r"--preset (\S+)", path.read_text())
            self.assertTrue(named)
            self.assertLessEqual(set(named), presets)

    def test_slurm_jobs_are_shell_that_parses_and_set_what_they_promise(self):
        for path in sorted((PROJECT / "docs" / "examples").glob("*.sbatch")):
            subprocess.run(["bash", "-n", path], check=True)
            for option in re.findall(r"^#SBATCH (.*)$", path.read_text(), re.M):
                self.assertRegex(option, r"^--[a-z-]+(=\S+)?$")
            self.assertIn("#SBATCH --requeue", path.read_text())

    def test_the_cluster_has_the_sections_of_parallelcluster_3(self):
        config = yaml.safe_load((PROJECT / "docs" / "examples" / "parallelcluster.yaml").read_text())
        self.assertLessEqual({"Region", "Image", "HeadNode", "Scheduling", "SharedStorage"}, set(config))
        self.assertEqual(config["Scheduling"]["Scheduler"], "slurm")
        for queue in config["Scheduling"]["SlurmQueues"]:
            self.assertLessEqual({"Name", "CapacityType", "Networking", "ComputeResources"}, set(queue))
            self.assertRegex(queue["Name"], r"^[a-z][a-z0-9-]{0,24}$")


if __name__ == "__main__":
    if not (BIN / "imgpack").exists():
        print("skipped: imgpack is not built here")
        sys.exit(77)
    unittest.main()
