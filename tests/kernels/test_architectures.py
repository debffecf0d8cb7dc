"""Every object that nvcc made holds machine code for each architecture, and PTX of the last for later ones.

    test_architectures.py --expect "80;86;89;90" FILE.o …

A fat binary lies in the section .nv_fatbin: a header of 16 bytes (magic 0xba55ed50, version, header size, size of what
follows), then entries, each a header (kind 1: PTX, 2: ELF; its own size at 4, the payload's at 8, the architecture at
28) and its payload. Exits 77, with the reason, where nothing was compiled.
"""
import argparse
import struct
import sys

MAGIC = 0xBA55ED50
KINDS = {1: "ptx", 2: "sm"}


def fat_binary(data):
    """The bytes of the section .nv_fatbin of an ELF object."""
    (sections_at,) = struct.unpack_from("<Q", data, 0x28)
    entry_bytes, count, names = struct.unpack_from("<HHH", data, 0x3A)
    sections = []
    for i in range(count):
        name, _, _, _, offset, size = struct.unpack_from("<IIQQQQ", data, sections_at + i * entry_bytes)
        sections.append((name, offset, size))
    names_at = sections[names][1]
    for name, offset, size in sections:
        end = data.index(b"\0", names_at + name)
        if data[names_at + name : end] == b".nv_fatbin":
            return data[offset : offset + size]
    return b""


def code_in(section):
    """What a .nv_fatbin section holds, as {("sm", 80), ("ptx", 90), …}; entries without a payload do not count."""
    found, at = set(), 0
    while at + 16 <= len(section):
        magic, _, header_bytes, size = struct.unpack_from("<IHHQ", section, at)
        if magic != MAGIC:
            at += 8  # Padding between two fat binaries.
            continue
        entry, end = at + header_bytes, at + header_bytes + size
        while entry < end:
            kind, _, entry_header, payload = struct.unpack_from("<HHIQ", section, entry)
            (architecture,) = struct.unpack_from("<I", section, entry + 28)
            if payload > 0:
                found.add((KINDS.get(kind, kind), architecture))
            entry += entry_header + payload
        at = end
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--expect", required=True)
    parser.add_argument("objects", nargs="*")
    arguments = parser.parse_args()
    if not arguments.objects:
        print("skipped: this build has no CUDA kernels; its configuring said why")
        return 77
    architectures = [int(text) for text in arguments.expect.split(";")]
    expected = {("sm", architecture) for architecture in architectures} | {("ptx", architectures[-1])}
    failed = False
    for path in arguments.objects:
        with open(path, "rb") as file:
            found = code_in(fat_binary(file.read()))
        print(f"{path}: {', '.join(sorted(f'{kind}_{number}' for kind, number in found)) or 'nothing'}")
        if found != expected:
            print(f"  expected {', '.join(sorted(f'{kind}_{number}' for kind, number in expected))}")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
