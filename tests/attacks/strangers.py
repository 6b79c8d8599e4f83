"""Files that are no model at all, under a model's name."""

import gzip
import os
import struct

from tests.attacks.attack import attack


@attack("error", "HTML page")
def html_page_as_a_model() -> bytes:
    return b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"


@attack("error", "HTML page")
def html_page_with_space_before_it() -> bytes:
    return b"\xef\xbb\xbf \n\n<html lang=en><body>429 Too Many Requests</body></html>"


@attack("error", "JSON text")
def json_error_as_a_model() -> bytes:
    return b'{"error": {"code": 401, "message": "The creator of this asset requires you to be logged in"}}'


@attack("error", "XML")
def xml_error_as_a_model() -> bytes:
    return b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'


@attack("error", "Git LFS pointer")
def git_lfs_pointer_as_a_model() -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 2132625612\n"


@attack("error", "empty")
def empty_file() -> bytes:
    return b""


@attack("error", "no format we know")
def one_zero_byte() -> bytes:
    return b"\0"


@attack("error", "no format we know")
def file_of_zeros() -> bytes:
    return bytes(100_000)


@attack("error", "the kind image")
def picture_as_a_model() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(25)


@attack("error", "the kind gzip", name="model.ckpt")
def gzip_as_a_model() -> bytes:
    return gzip.compress(os.urandom(256), mtime=0)


@attack("error", "the kind 7z", name="model.pt")
def seven_zip_as_a_model() -> bytes:
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24)


@attack("error", "the kind program", name="model.ckpt")
def shell_script_as_a_model() -> bytes:
    return b"#!/bin/sh\nrm -rf ~\n"


@attack("error", "text", name="model.pt")
def prompt_text_as_a_model() -> bytes:
    return b"(masterpiece:1.2), best quality\n"


@attack("error", "text", name="model.pt")
def numbers_as_a_model() -> bytes:
    return b"I am a text that begins as a pickle may\n"
