"""The specification is enough: a reader written from it alone (docs/examples/read_shards.py) reads what C++ wrote.

The stored golden dataset, one that the C++ writer writes now, and the worked example of the document; the JSON files
against their schemas; and damage, which the reader must refuse.
"""
import importlib.util
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import jsonschema

PROJECT = Path(os.environ["PROJECT_DIR"])
GOLDEN = PROJECT / "tests/golden/v1/tiny.shards"
WRITER = Path(os.environ["BIN_DIR"]) / "test_golden"
READER = PROJECT / "docs/examples/read_shards.py"

spec = importlib.util.spec_from_file_location("read_shards", READER)
read_shards = importlib.util.module_from_spec(spec)
spec.loader.exec_module(read_shards)


def schema(name):
    document = json.loads((PROJECT / "schemas" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


class IndependentReader(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.fresh = Path(cls.folder.name) / "tiny.shards"
        subprocess.run([WRITER, "--write-golden", cls.fresh], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def verify_report(self, folder):
        return json.loads(subprocess.run([WRITER, "--verify", folder], check=True, capture_output=True).stdout)

    def test_is_under_120_lines(self):
        self.assertLess(len(READER.read_text().splitlines()), 120)

    def test_reads_every_record_of_golden_and_fresh_datasets_alike(self):
        golden, fresh = (list(read_shards.read_dataset(folder)) for folder in (GOLDEN, self.fresh))
        self.assertEqual(golden, fresh)
        self.assertEqual(len(golden), 19)
        by_name = {row["name"]: (split, row, sections) for split, row, sections in golden}
        split, row, sections = by_name["n01484850/\u00e9t\u00e9 007.jpeg"]
        self.assertEqual((split, row["label"], row["flags"]), ("train", 2, 1 | 8))
        self.assertTrue(sections[1].startswith(b"\xff\xd8") and sections[1].endswith(b"\xff\xd9"))
        self.assertEqual(by_name["n01440764/n01440764_0.JPEG"][2][2], b"entropy index 0")
        self.assertEqual(by_name["ILSVRC2012_test_00000008.JPEG"][1]["label"], -1)

    def test_ids_and_order_follow_from_names_and_seed(self):
        manifest = json.loads((GOLDEN / "manifest.json").read_text())
        keys = {}
        for split, row, _ in read_shards.read_dataset(GOLDEN):
            self.assertEqual(row["id"], read_shards.xxh3(f"{split}\0{row['name']}".encode()))
            keys.setdefault(split, []).append(read_shards.xxh3(row["id"].to_bytes(8, "little"), manifest["seed"]))
        for split in manifest["splits"]:
            self.assertEqual(keys[split["name"]], sorted(keys[split["name"]]))
            count, at = len(split["shards"]), 0
            for number, shard in enumerate(split["shards"]):
                for key in keys[split["name"]][at:at + shard["records"]]:
                    self.assertEqual(key * count >> 64, number)
                at += shard["records"]

    def test_dataset_id_follows_from_the_logical_content(self):
        manifest = json.loads((GOLDEN / "manifest.json").read_text())

        def u64(value):
            return value.to_bytes(8, "little")

        def text(value):
            return u64(len(value.encode())) + value.encode()

        content = {}
        for split, row, sections in read_shards.read_dataset(GOLDEN):
            name = row["name"].encode()
            record = len(name).to_bytes(4, "little") + name + row["label"].to_bytes(4, "little", signed=True)
            record += u64(len(sections[1])) + u64(read_shards.xxh3(sections[1]))
            content[split] = (content.get(split, 0) + read_shards.xxh3(record)) % 2**64
        logical = b"imgpack dataset 1\n" + u64(manifest["seed"]) + u64(len(manifest["classes"]))
        logical += b"".join(text(entry["wnid"]) for entry in manifest["classes"]) + u64(len(manifest["splits"]))
        for split in manifest["splits"]:
            logical += text(split["name"]) + u64(split["labeled"]) + u64(split["records"]) + u64(content[split["name"]])
        self.assertEqual(f"{read_shards.xxh3(logical):016x}", manifest["dataset_id"])

    def test_reads_the_worked_example_of_the_document(self):
        block = (PROJECT / "docs/shard-format.md").read_text().split("```hex\n")[1].split("```")[0]
        example = Path(self.folder.name) / "val-00000.ipk"
        example.write_bytes(bytes.fromhex("".join(line.split(maxsplit=1)[1] for line in block.splitlines())))
        names = [row["name"] for row, _ in read_shards.read_shard(example, "5e32b2c902b49d43")]
        self.assertEqual(names, ["ILSVRC2012_val_00000002.JPEG", "ILSVRC2012_val_00000001.JPEG"])

    def test_reads_label_sets_and_refuses_a_damaged_one(self):
        for folder in (GOLDEN, self.fresh):
            (name, labels), = read_shards.read_label_sets(folder).items()
            rows = [row for split, row, _ in read_shards.read_dataset(folder) if split == labels["split"]]
            self.assertEqual((name, len(labels["labels"]), labels["records"]), ("real", len(rows), len(rows)))
            ids = b"".join(row["id"].to_bytes(8, "little") for row in rows)
            self.assertEqual(labels["ids"], f"{read_shards.xxh3(ids):016x}")
            self.assertTrue(all(labels == sorted(set(labels)) for labels in labels["labels"]))
        path = self.fresh / "labels-real.json"
        whole = path.read_bytes()
        try:
            path.write_bytes(whole.replace(b"[", b"[ ", 1))
            with self.assertRaises(ValueError):
                read_shards.read_label_sets(self.fresh)
        finally:
            path.write_bytes(whole)

    def test_refuses_a_flipped_bit_in_any_byte(self):
        shard = self.fresh / "val-00000.ipk"
        whole = shard.read_bytes()
        damaged = Path(self.folder.name) / "damaged.ipk"
        for at in range(len(whole)):
            damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            with self.assertRaises(Exception, msg=f"byte {at}"):
                list(read_shards.read_shard(damaged))

    def test_manifest_follows_its_schema(self):
        validator = schema("manifest.schema.json")
        for folder in (GOLDEN, self.fresh):
            manifest = json.loads((folder / "manifest.json").read_text())
            validator.validate(manifest)
            for key in manifest:
                self.assertFalse(validator.is_valid({k: v for k, v in manifest.items() if k != key}), key)
            self.assertFalse(validator.is_valid(manifest | {"unknown": 1}))

    def test_verify_report_follows_its_schema(self):
        validator = schema("verify_report.schema.json")
        report = self.verify_report(self.fresh)
        validator.validate(report)
        self.assertEqual((report["result"], report["records"], report["repair"]), ("ok", 19, None))
        shard = self.fresh / "train-00001.ipk"
        whole = shard.read_bytes()
        try:
            shard.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
            report = self.verify_report(self.fresh)
        finally:
            shard.write_bytes(whole)
        validator.validate(report)
        self.assertEqual((report["result"], report["counts"]), ("damaged", {"record": 1}))
        self.assertIn("imgpack repair", report["repair"])


if __name__ == "__main__":
    unittest.main()
