"""read_shards.py DATASET lists every record of an imgpack dataset. Written from docs/shard-format.md alone."""
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
        width = struct.calcsize("<" + letter)
        raw = bytearray(width * count)
        for plane in range(width):
            raw[plane::width] = data[at:at + count]
            at += count
        result.append(struct.unpack(f"<{count}{letter}", raw))
    return result, at


def frames(data, table, count, at):
    """Group -> raw bytes, for the frame table at `table` whose frames start at `at`."""
    groups = {}
    for entry in struct.iter_unpack("<4H3Q", data[table:table + 32 * count]):
        group, codec, flags, _, stored, size, digest = entry
        body = data[at:at + stored]
        check(len(body) == stored and xxh3(body) == digest, f"index checksum of group {group}")
        check(group < 4 or not flags & 1, f"group {group} must be understood")
        groups[group] = zstandard.decompress(body, max_output_size=size) if codec else body
        at += stored
    check(at == len(data), "length of the index")
    return groups


def names(raw, labels):
    entries, defaults = struct.unpack_from("<2I", raw)
    shapes = zip([len(labels)] * 2 + [entries] * 3 + [defaults] * 2, "IIHHHiI")
    (numbers, codes, prefixes, suffixes, digits, usual_labels, usual_entries), at = columns(raw, 16, shapes)
    usual, text = dict(zip(usual_labels, usual_entries)), []
    for prefix, suffix in zip(prefixes, suffixes):
        text.append((raw[at:at + prefix].decode(), raw[at + prefix:at + prefix + suffix].decode()))
        at += prefix + suffix
    for number, code, label in zip(numbers, codes, labels):
        entry = code - 1 if code else usual[label]
        yield text[entry][0] + ("" if digits[entry] == 65535 else f"{number:0{digits[entry]}d}") + text[entry][1]


def rows(groups, count):
    """One dict per record from the ids, plan and names groups."""
    plan, _ = columns(groups[2], 0, ((count, letter) for letter in "IIIiIII"))
    table = dict(zip(("image", "entropy", "other", "label", "width", "height", "flags"), plan))
    table["id"] = struct.unpack(f"<{count}Q", groups[1])
    table["name"] = list(names(groups[3], table["label"]))
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
    found = (name, id_, label, width, height, flags, len(content[1]))
    check(at == size and found == tuple(row[key] for key in "name id label width height flags image".split()), name)
    return content


def read_shard(path, digest=None):
    """Yields (row, sections by type) for every record of a shard."""
    data = path.read_bytes()
    check(digest is None or xxh3(data) == int(digest, 16), f"digest of {path.name}")
    magic, major, _, head, required = struct.unpack_from("<8sHHII", data)
    check(magic == b"\x89IPK\r\n\x1a\n" and sealed(data[:head]), "header")
    check(major == 1 and required == 0, "written for a newer reader")
    footer = data[-64:]
    index_offset, index_bytes, count = struct.unpack_from("<3Q", footer)
    check(footer[56:] == b"\xffIPKEND\n" and sealed(footer[:56]), "footer")
    at, index = head, data[index_offset:index_offset + index_bytes]
    index_magic, index_head, records, frame_count = struct.unpack_from("<4sIQI", index)
    check(index_magic == b"\xabIDX" and records == count and sealed(index[:index_head]), "index")
    for row in rows(frames(index, 24, frame_count, index_head), count):
        size = row["image"] + row["entropy"] + row["other"]
        yield row, read_record(data[at:at + size], row)
        at += size
    check(at == index_offset, "records do not fill the shard")


def read_dataset(folder):
    """Yields (split, row, sections) for every record, in global record order."""
    manifest = (folder / "manifest.json").read_bytes()
    check(manifest[-20:-4] == f"{xxh3(manifest[:-35]):016x}".encode(), "manifest checksum")
    for split in json.loads(manifest)["splits"]:
        for shard in split["shards"]:
            for row, sections in read_shard(folder / shard["file"], shard["digest"]):
                yield split["name"], row, sections


if __name__ == "__main__":
    for split_name, record, parts in read_dataset(Path(sys.argv[1])):
        facts = map(record.get, ("name", "label", "width", "height", "image"))
        print(split_name, *facts, f"{xxh3(parts[1]):016x}", sep="\t")
