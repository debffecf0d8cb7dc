"""read_shards.py DATASET lists the records of an imgpack dataset. Written from docs/shard-format.md alone."""
import json
import struct
import sys
from pathlib import Path

import xxhash
import zstandard

xxh3 = xxhash.xxh3_64_intdigest


def check(condition, what):
    if not condition:
        raise ValueError(f"damaged: {what}")


def sealed(data):  # Whether the last 8 bytes are the checksum of those before them.
    return xxh3(data[:-8]) == int.from_bytes(data[-8:], "little")


def columns(data, at, shapes):
    """Columns of (count, letter), each stored as byte planes; returns their values and where they end."""
    result = []
    for count, letter in shapes:
        raw = bytearray((width := struct.calcsize("<" + letter)) * count)
        for plane in range(width):
            raw[plane::width] = data[at:at + count]
            at += count
        result.append(struct.unpack(f"<{count}{letter}", raw))
    return result, at


def frames(data, table, count, at):  # Group -> raw bytes, for the frame table at `table` whose frames start at `at`.
    groups = {}
    for group, codec, flags, _, stored, size, digest in struct.iter_unpack("<4H3Q", data[table:table + 32 * count]):
        body = data[at:at + stored]
        check(len(body) == stored and xxh3(body) == digest, f"index checksum of group {group}")
        check(group < 4 or not flags & 1, f"group {group} must be understood")
        groups[group] = zstandard.decompress(body, max_output_size=size) if codec else body
        at += stored
    check(at == len(data), "length of the index")
    return groups


def names(raw, labels):
    counts = [len(labels)] * 2 + [struct.unpack_from("<I", raw)[0]] * 3 + [struct.unpack_from("<I", raw, 4)[0]] * 2
    (numbers, codes, prefixes, suffixes, digits, *usual), at = columns(raw, 16, zip(counts, "IIHHHiI"))
    usual, text = dict(zip(*usual)), []
    for prefix, suffix in zip(prefixes, suffixes):
        text.append((raw[at:at + prefix].decode(), raw[at + prefix:at + prefix + suffix].decode()))
        at += prefix + suffix
    for number, code, label in zip(numbers, codes, labels):
        entry = code - 1 if code else usual[label]
        yield text[entry][0] + ("" if digits[entry] == 65535 else f"{number:0{digits[entry]}d}") + text[entry][1]


def rows(groups, count):  # One dict per record from the ids, plan and names groups.
    keys = "image entropy other label width height flags".split()
    table = dict(zip(keys, columns(groups[2], 0, ((count, letter) for letter in "IIIiIII"))[0]))
    table |= {"id": struct.unpack(f"<{count}Q", groups[1]), "name": list(names(groups[3], table["label"]))}
    return [dict(zip(table, values)) for values in zip(*table.values())]


def read_record(data, row):
    magic, size, head, name_bytes, sections, id_, label, width, height, flags = struct.unpack_from("<4sIIHHQiIII", data)
    check(magic == b"\xabREC" and size == len(data) and sealed(data[:head]), "record header")
    at, content = head, {}
    for type_, section_flags, length, digest in struct.iter_unpack("<2HIQ", data[40:40 + 16 * sections]):
        check(xxh3(data[at:at + length]) == digest, f"checksum of section {type_}")
        check(type_ in (1, 2) or not section_flags & 1, f"section {type_} must be understood")
        content.setdefault(type_, data[at:at + length])
        at += length
    name = data[40 + 16 * sections:40 + 16 * sections + name_bytes].decode()
    facts = dict(name=name, id=id_, label=label, width=width, height=height, flags=flags, image=len(content[1]))
    check(at == size and row | facts == row, f"record {name} and its index")
    return content


def read_shard(path, digest=None):  # Yields (row, sections by type) for every record of a shard.
    data = path.read_bytes()
    check(digest is None or xxh3(data) == int(digest, 16), f"digest of {path.name}")
    magic, major, _, head, required = struct.unpack_from("<8sHHII", data)
    check(magic == b"\x89IPK\r\n\x1a\n" and sealed(data[:head]), "header")
    check(major == 1 and required == 0, "written for a newer reader")
    index_offset, index_bytes, count = struct.unpack_from("<3Q", data, len(data) - 64)
    check(data[-8:] == b"\xffIPKEND\n" and sealed(data[-64:-8]), "footer")
    at, index = head, data[index_offset:index_offset + index_bytes]
    index_magic, index_head, records, frame_count = struct.unpack_from("<4sIQI", index)
    check(index_magic == b"\xabIDX" and records == count and sealed(index[:index_head]), "index")
    for row in rows(frames(index, 24, frame_count, index_head), count):
        size = row["image"] + row["entropy"] + row["other"]
        yield row, read_record(data[at:at + size], row)
        at += size
    check(at == index_offset, "records do not fill the shard")


def read_manifest(folder):
    text = (folder / "manifest.json").read_bytes()
    check(text[-20:-4] == f"{xxh3(text[:-35]):016x}".encode(), "manifest checksum")
    return json.loads(text)


def read_dataset(folder):  # Yields (split, row, sections) for every record, in global record order.
    for split in read_manifest(folder)["splits"]:
        for shard in split["shards"]:
            yield from ((split["name"], *record) for record in read_shard(folder / shard["file"], shard["digest"]))


def read_label_sets(folder):  # Name -> the set; its "labels" are lists, in the record order of its "split".
    files = {info["name"]: (info, (folder / info["file"]).read_bytes()) for info in read_manifest(folder)["label_sets"]}
    check(all(xxh3(text) == int(info["digest"], 16) for info, text in files.values()), "digest of a label set")
    return {name: json.loads(text) for name, (_, text) in files.items()}


if __name__ == "__main__":
    for split_name, record, parts in read_dataset(Path(sys.argv[1])):
        print(split_name, *map(record.get, "name label width height image".split()), f"{xxh3(parts[1]):016x}", sep="\t")
    sys.stdout.writelines(f"label set {name}\n" for name in read_label_sets(Path(sys.argv[1])))
