#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# flat-kernel.py BZIMAGE STUB OUTPUT: a bzImage with the same kernel, not compressed: for machines on which unpacking is most
# of a boot's time. tools/image/flat-kernel.asm (STUB) stands before the kernel instead of the decompressor.
import lzma
import struct
import subprocess
import sys

SECTOR = 512
UNIT = 0x200000
PAGE = 0x1000
ELF_LOAD = 1
# Offsets in the setup header (Documentation/x86/boot.rst).
SETUP_SECTORS, SYSTEM_SIZE, XLOAD_FLAGS, PAYLOAD, PREFERRED, INIT_SIZE, HANDOVER = \
    0x1f1, 0x1f4, 0x236, 0x248, 0x258, 0x260, 0x264
XLOAD_KERNEL_64 = 1


def payload(image):
    """The kernel's ELF file. What follows it in the payload, its size, is not the unpacker's."""
    start = (image[SETUP_SECTORS] + 1) * SECTOR
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    return lzma.LZMADecompressor().decompress(image[start + offset:start + offset + length])


def flat(elf):
    """The loaded segments by physical address, without zeroes at the end; where they begin; the bytes in memory."""
    table, = struct.unpack_from("<Q", elf, 32)
    count, = struct.unpack_from("<H", elf, 56)
    headers = [struct.unpack_from("<IIQQQQQQ", elf, table + 56 * i) for i in range(count)]
    loads = [header for header in headers if header[0] == ELF_LOAD]
    base = min(header[4] for header in loads)
    end = max(header[4] + header[6] for header in loads)
    memory = bytearray(end - base)
    for _, _, offset, _, address, size, _, _ in loads:
        memory[address - base:address - base + size] = elf[offset:offset + size]
    used = len(memory.rstrip(b"\0"))
    return memory[:-(-used // PAGE) * PAGE], base, -(-len(memory) // PAGE) * PAGE


def main():
    source, stub, target = sys.argv[1:]
    with open(source, "rb") as file:
        image = file.read()
    kernel, base, memory = flat(payload(image))
    subprocess.run(["nasm", "-f", "bin", f"-DFILE_BYTES={len(kernel)}", f"-DMEMORY_BYTES={memory}",
                    "-o", target + ".stub", stub], check=True)
    with open(target + ".stub", "rb") as file:
        kernel = file.read() + kernel
    setup = bytearray(image[:(image[SETUP_SECTORS] + 1) * SECTOR])
    struct.pack_into("<I", setup, SYSTEM_SIZE, len(kernel) // 16)
    struct.pack_into("<H", setup, XLOAD_FLAGS, XLOAD_KERNEL_64)
    struct.pack_into("<II", setup, PAYLOAD, 0, 0)
    struct.pack_into("<Q", setup, PREFERRED, base - UNIT)
    struct.pack_into("<II", setup, INIT_SIZE, UNIT + memory, 0)
    with open(target, "wb") as file:
        file.write(setup + kernel)


main()
