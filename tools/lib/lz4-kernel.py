#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# lz4-kernel.py BZIMAGE UNPACKER OUTPUT: a bzImage with the same kernel, packed by LZ4 instead of XZ or ZSTD: for machines on
# which unpacking is most of a boot's time. UNPACKER is tools/image/lz4-kernel.asm.
import lzma
import struct
import subprocess
import sys

SECTOR = 512
UNIT = 0x200000
PAGE = 0x1000
LZ4_MAGIC = 4
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SIZE_BYTES = 4
UNPACKER_MOST = 0x10000
ELF_LOAD = 1
# Offsets in the setup header (Documentation/x86/boot.rst).
SETUP_SECTORS, SYSTEM_SIZE, XLOAD_FLAGS, PAYLOAD, INIT_SIZE, HANDOVER = \
    0x1f1, 0x1f4, 0x236, 0x248, 0x260, 0x264
XLOAD_KERNEL_64, XLOAD_ABOVE_4G = 1, 2


def payload(image):
    """The kernel's ELF file. What follows it in the payload is its size."""
    start = (image[SETUP_SECTORS] + 1) * SECTOR
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    packed = image[start + offset:start + offset + length - SIZE_BYTES]
    if packed.startswith(ZSTD_MAGIC):
        return run("zstd", "-dc", input=packed)
    return lzma.decompress(packed)


def up(value, unit):
    return -(-value // unit) * unit


def flat(elf):
    """The loaded segments by physical address, and where among them the kernel is entered."""
    entry, table = struct.unpack_from("<QQ", elf, 24)
    count, = struct.unpack_from("<H", elf, 56)
    headers = [struct.unpack_from("<IIQQQQQQ", elf, table + 56 * i) for i in range(count)]
    loads = [header for header in headers if header[0] == ELF_LOAD]
    base = min(header[4] for header in loads)
    end = max(header[4] + header[6] for header in loads)
    memory = bytearray(up(end - base, PAGE))
    for _, _, offset, _, address, size, _, _ in loads:
        memory[address - base:address - base + size] = elf[offset:offset + size]
    return memory, entry - base


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def main():
    source, unpacker, target = sys.argv[1:]
    with open(source, "rb") as file:
        image = file.read()
    memory, entry = flat(payload(image))
    # Zeroes at the end are not worth packing; what follows the magic number of "lz4 -l" is blocks.
    blocks = run("lz4", "-l", "-9", "-c", "-", input=memory.rstrip(b"\0"))[LZ4_MAGIC:] + bytes(4)
    place = up(UNPACKER_MOST + len(blocks), UNIT)
    run("nasm", "-f", "bin", f"-DKERNEL={place}", f"-DMEMORY_BYTES={len(memory)}", f"-DENTRY={entry}", "-o",
        target + ".unpacker", unpacker)
    with open(target + ".unpacker", "rb") as file:
        kernel = file.read() + blocks
    kernel += bytes(-len(kernel) % 16)
    setup = bytearray(image[:(image[SETUP_SECTORS] + 1) * SECTOR])
    struct.pack_into("<I", setup, SYSTEM_SIZE, len(kernel) // 16)
    struct.pack_into("<H", setup, XLOAD_FLAGS, XLOAD_KERNEL_64 | XLOAD_ABOVE_4G)
    struct.pack_into("<II", setup, PAYLOAD, 0, 0)
    struct.pack_into("<II", setup, INIT_SIZE, place + len(memory), 0)
    with open(target, "wb") as file:
        file.write(setup + kernel)


main()
