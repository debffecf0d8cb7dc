"""What the documentation shows exists: every link leads somewhere, every command has the verbs and options it is shown
with. Programs are asked by --help; nothing else is run."""

import functools
import os
import pathlib
import re
import shlex
import subprocess
import sys
import unittest

PROJECT = pathlib.Path(os.environ["PROJECT_DIR"])
BIN = pathlib.Path(os.environ["BIN_DIR"])
PROGRAMS = ("imgpack", "imgtrain", "imgbench")
PAGES = sorted([PROJECT / "README.md", PROJECT / "CHANGELOG.md", *(PROJECT / "docs").rglob("*.md")])
# Of docker, cmake and others, named alone in the pages.
OPTIONS_OF_OTHERS = ("--shm-size", "--preset", "--gpus", "--max-restarts", "--requeue")
INDEX = PROJECT / "docs" / "README.md"


def prose_and_code(text):
    """The text with code blocks blanked out, and the blocks as lists of lines, continuation lines joined."""
    prose, blocks, block, fenced, before = [], [], None, False, ""
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
            if fenced:
                block = []
            else:
                blocks.append(block)
                block = None
            prose.append("")
            continue
        indented = line.startswith("    ") and (block is not None or not before.strip())
        if fenced or indented:
            block = [] if block is None else block
            if block and block[-1].endswith("\\"):
                block[-1] = block[-1][:-1] + " " + line.strip()
            else:
                block.append(line.strip())
            prose.append("")
        else:
            if block is not None and line.strip():
                blocks.append(block)
                block = None
            prose.append(line)
        before = line
    if block:
        blocks.append(block)
    return "\n".join(prose), blocks


def slug(heading):
    """The anchor that GitHub gives a heading."""
    heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@functools.cache
def anchors(page):
    prose, _ = prose_and_code(page.read_text())
    return {slug(match) for match in re.findall(r"^#+\s+(.*)$", prose, re.M)}


@functools.cache
def help_text(program, *words):
    """--help of a program or script; None where it cannot be run here."""
    command = [str(BIN / program) if program in PROGRAMS else str(PROJECT / program), *words, "--help"]
    if not os.path.isfile(command[0]) or not os.access(command[0], os.X_OK):
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return done.stdout if done.returncode == 0 else None


def verbs(program):
    section = re.search(r"^VERBS\n(.*?)^OPTIONS", help_text(program), re.M | re.S).group(1)
    return set(re.findall(r"^  ([a-z][a-z0-9-]*)", section, re.M)) | {"help"}


def topics(program):
    section = re.search(r"^TOPICS.*?\n(.*?)^EXIT", help_text(program), re.M | re.S)
    return set(re.findall(r"^  ([a-z][a-z0-9-]*)", section.group(1), re.M)) if section else set()


def options(program, verb):
    found = set(re.findall(r"(?<![\w-])(--?[a-z][a-z0-9-]*)", help_text(program, *([verb] if verb else []))))
    # A package's launcher takes this one, and removes it (scripts/lib/imgtrain-launcher.in).
    return found | ({"--libtorch"} if program == "imgtrain" else set())


def commands(line):
    """The commands of ours in a line of shell, as (program, words)."""
    line = re.sub(r"^\$ ", "", line)
    # What follows two spaces and an arrow or a parenthesis is an explanation beside the command.
    line = re.split(r"\s{2,}(?:#|->|\(|…)", line)[0]
    line = re.sub(r"\s#\s.*$", "", line)
    lexer = shlex.shlex(line.replace("…", "..."), posix=True, punctuation_chars=";|&()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return
    start = 0
    for at in range(len(words) + 1):
        if at < len(words) and not re.fullmatch(r"[;|&()<>]+", words[at]):
            continue
        part = words[start:at]
        start = at + 1
        for i, word in enumerate(part):
            name = word.removeprefix("./")
            if name.startswith("scripts/") and re.fullmatch(r"scripts/[\w/.-]+", name):
                yield name, part[i + 1 :]
                break
            # A path of our own build, or the bare name as the command.
            if os.path.basename(name) in PROGRAMS and (i == 0 or "/" in name or all_prefix(part[:i])):
                yield os.path.basename(name), part[i + 1 :]
                break
            if not all_prefix(part[: i + 1]):
                break


def all_prefix(words):
    """Whether these may stand before a command: variables, launchers and their options."""
    return all(
        "=" in word or word.startswith("-") or word in ("sudo", "exec", "nohup", "srun", "torchrun", "time", "until", "if", "while", "env", "docker", "run", "imgtrain-image", "do")
        for word in words
    )


class Docs(unittest.TestCase):
    maxDiff = None

    def test_every_link_leads_to_a_file_and_a_heading_that_exist(self):
        broken = []
        for page in PAGES:
            prose, _ = prose_and_code(page.read_text())
            targets = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`(?!\])", "", prose))
            for target in targets:
                if re.match(r"[a-z]+://|mailto:", target):
                    continue
                name, _, anchor = target.partition("#")
                file = (page.parent / name).resolve() if name else page
                if not file.exists():
                    broken.append(f"{page.relative_to(PROJECT)}: {target}: no such file")
                elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                    broken.append(f"{page.relative_to(PROJECT)}: {target}: no such heading")
        self.assertEqual(broken, [])

    def test_every_page_is_reached_from_the_index(self):
        linked = {(INDEX.parent / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", INDEX.read_text())}
        missing = [str(page.relative_to(PROJECT)) for page in PAGES if page.parent == INDEX.parent and page != INDEX and page.resolve() not in linked]
        self.assertEqual(missing, [])

    def test_every_command_has_the_verbs_and_options_that_it_is_shown_with(self):
        wrong, seen = [], 0
        for page in PAGES:
            if page.name == "CHANGELOG.md":
                continue  # It tells of the past.
            prose, blocks = prose_and_code(page.read_text())
            lines = [line for block in blocks for line in block]
            lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"(?<!`)`([^`\\]+)`(?!`)", prose)]
            for line in lines:
                for program, words in commands(line):
                    seen += 1
                    fault = self.fault(program, words)
                    if fault:
                        wrong.append(f"{page.relative_to(PROJECT)}: {line}: {fault}")
        self.assertEqual(wrong, [])
        self.assertGreater(seen, 100)

    def fault(self, program, words):
        if program in PROGRAMS:
            if help_text(program) is None:
                return None  # Not built here: a build without torch.
            verb = ""
            # `imgpack inspect, ls, cat, extract` names several; an upper-case word stands for any.
            while words and re.fullmatch(r"[a-z][a-z0-9-]*,?", words[0]):
                verb = words[0].rstrip(",")
                if verb not in verbs(program):
                    return f"{program} has no verb {verb}"
                if not words[0].endswith(","):
                    break
                words = words[1:]
            if verb == "help":
                return None if len(words) < 2 or words[1] in verbs(program) | topics(program) else f"no topic {words[1]}"
            if not verb and words[:1] in (["VERB"], ["[VERB]"]):
                return None
            if not verb and program == "imgtrain" and any(w.startswith("--") and w not in ("--help", "--version") for w in words):
                verb = "train"
            allowed = options(program, verb)
        else:
            if not (PROJECT / program).exists():
                return "no such script"
            shown = help_text(program)
            if shown is None:
                return None  # Something else than a command: a folder, a list, a file that is read.
            allowed = set(re.findall(r"(?<![\w-])(--?[a-z][a-z0-9-]*)", shown)) | {"--help"}
        for word in words:
            if word == "--":
                break
            if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in allowed:
                if re.fullmatch(r"-[a-z]\d+", word) and word[:2] in allowed:
                    continue
                return f"no option {word.partition('=')[0]}"
        return None

    def test_every_option_that_is_named_alone_belongs_to_some_program(self):
        known = set(OPTIONS_OF_OTHERS)
        for program in PROGRAMS:
            if help_text(program):
                known |= options(program, "").union(*(options(program, verb) for verb in verbs(program) - {"help"}))
        for script in sorted((PROJECT / "scripts").rglob("*")):
            if script.is_file() and (script.suffix == ".sh" or script.parent.name == "scripts") and os.access(script, os.X_OK):
                known |= set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]*)", help_text(str(script.relative_to(PROJECT))) or ""))
        if not help_text("imgtrain"):
            self.skipTest("imgtrain is not built here, so that not all options are known")
        wrong = []
        for page in PAGES:
            if page.name == "CHANGELOG.md":
                continue
            prose, _ = prose_and_code(page.read_text())
            for code in re.findall(r"(?<!`)`(--[^`]+)`(?!`)", prose):
                for word in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", code):
                    if word not in known:
                        wrong.append(f"{page.relative_to(PROJECT)}: {word}")
        self.assertEqual(sorted(set(wrong)), [])

    def test_a_verb_or_option_that_does_not_exist_would_be_found(self):
        for line in ("imgpack biuld x", "imgpack verify --levle decode x", "scripts/setup --nonsense", "scripts/nonsense", "A=1 sudo imgpack ls --nonsense"):
            self.assertTrue([fault for program, words in commands(line) if (fault := self.fault(program, words))], line)


if __name__ == "__main__":
    if not (BIN / "imgpack").exists():
        print("skipped: imgpack is not built here")
        sys.exit(77)
    unittest.main()
