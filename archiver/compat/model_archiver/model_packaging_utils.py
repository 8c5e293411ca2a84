"""MMS's `ModelExportUtils`: the single steps of packing, on top of `archiver`."""

from __future__ import annotations

import argparse
import glob
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from archiver.packing.pack import (
    check_inputs,
    check_name,
    check_output,
    find_unique,
    output_path,
    refuse_conversion,
)
from archiver.packing.selection import UNWANTED_FILES, UNWANTED_SUFFIXES, select_files
from archiver.packing.writers import ArchiveFormat, write_archive

from .manifest_components.engine import Engine
from .manifest_components.manifest import Manifest
from .manifest_components.model import Model
from .manifest_components.publisher import Publisher

archiving_options: Final = {"tgz": ".tar.gz", "no-archive": "", "default": ".mar"}

MODEL_SERVER_VERSION: Final = "1.0"
MODEL_ARCHIVE_VERSION: Final = "1.0"
MANIFEST_FILE_NAME: Final = "MANIFEST.json"
MAR_INF: Final = "MAR-INF"
ONNX_TYPE: Final = ".onnx"


class ModelExportUtils:
    """Each method raises ModelArchiverError for what cannot be packed."""

    @staticmethod
    def get_archive_export_path(
        export_file_path: str, model_name: str, archive_format: ArchiveFormat
    ) -> str:
        return output_path(export_file_path, model_name, archive_format)

    @staticmethod
    def check_mar_already_exists(
        model_name: str,
        export_file_path: str | None,
        overwrite: bool,
        archive_format: ArchiveFormat = "default",
    ) -> str:
        """Returns the export folder; `overwrite` lets an archive be there already."""
        folder = os.getcwd() if export_file_path is None else export_file_path
        check_output(output_path(folder, model_name, archive_format), force=overwrite)
        return folder

    @staticmethod
    def check_custom_model_types(
        model_path: str, model_name: str | None = None
    ) -> tuple[list[str], list[str]]:
        """(files to remove afterwards, files to leave out): both empty, as nothing is converted any more."""
        refuse_conversion(model_path)
        return [], []

    @staticmethod
    def find_unique(files: Iterable[str], suffix: str) -> str | None:
        return find_unique(files, suffix)

    @staticmethod
    def convert_onnx_model(
        model_path: str, onnx_file: str, model_name: str | None = None
    ) -> tuple[str, str]:
        """Always raises: the conversion needed MXNet."""
        refuse_conversion(model_path)
        raise FileNotFoundError(os.path.join(model_path, onnx_file))

    @staticmethod
    def generate_publisher(publisherargs: argparse.Namespace) -> Publisher:
        return Publisher(author=publisherargs.author, email=publisherargs.email)

    @staticmethod
    def generate_engine(engineargs: argparse.Namespace) -> Engine:
        return Engine(engine_name=engineargs.engine)

    @staticmethod
    def generate_model(modelargs: argparse.Namespace) -> Model:
        return Model(model_name=modelargs.model_name, handler=modelargs.handler)

    @staticmethod
    def generate_manifest_json(args: argparse.Namespace) -> str:
        """The manifest's text. `author` with `email`, and `engine`, count where `args` has them."""
        author, email = getattr(args, "author", None), getattr(args, "email", None)
        has_publisher = author is not None and email is not None
        has_engine = getattr(args, "engine", None) is not None
        manifest = Manifest(
            runtime=args.runtime,
            model=ModelExportUtils.generate_model(args),
            engine=ModelExportUtils.generate_engine(args) if has_engine else None,
            publisher=ModelExportUtils.generate_publisher(args) if has_publisher else None,
        )
        return str(manifest)

    @staticmethod
    def clean_temp_files(temp_files: Iterable[str]) -> None:
        for name in temp_files:
            os.remove(name)

    @staticmethod
    def make_dir(d: str) -> None:
        os.makedirs(d, exist_ok=True)

    @staticmethod
    def archive(
        export_file: str,
        model_name: str,
        model_path: str,
        files_to_exclude: Collection[str],
        manifest: str,
        archive_format: ArchiveFormat = "default",
    ) -> None:
        """Writes the archive into the folder `export_file`, over one that is there."""
        write_archive(
            model_path,
            output_path(export_file, model_name, archive_format),
            model_name=model_name,
            manifest_text=manifest,
            archive_format=archive_format,
            exclude=_as_patterns(files_to_exclude),
        )

    @staticmethod
    def archive_dir(
        path: str,
        dst: zipfile.ZipFile | tarfile.TarFile | str,
        files_to_exclude: Collection[str],
        archive_format: ArchiveFormat,
        model_name: str,
    ) -> None:
        """Adds the files of `path` to the open archive `dst`, or copies them below the folder `dst`."""
        for file in select_files(Path(path), exclude=_as_patterns(files_to_exclude)).files:
            if isinstance(dst, tarfile.TarFile):
                data = file.path.read_bytes()
                info = tarfile.TarInfo(f"{model_name}/{file.name}")
                info.size = len(data)
                dst.addfile(info, io.BytesIO(data))
            elif isinstance(dst, zipfile.ZipFile):
                dst.write(file.path, file.name)
            else:
                target = Path(dst, file.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.path, target)

    @staticmethod
    def directory_filter(directory: str, unwanted_dirs: Collection[str]) -> bool:
        """Whether a folder of that name is packed."""
        return directory not in unwanted_dirs and not directory.startswith(".")

    @staticmethod
    def file_filter(current_file: str, files_to_exclude: Collection[str]) -> bool:
        """Whether a file of that name is packed."""
        if current_file in files_to_exclude or current_file in UNWANTED_FILES:
            return False
        return not current_file.endswith(UNWANTED_SUFFIXES)

    @staticmethod
    def check_model_name_regex_or_exit(model_name: str) -> None:
        check_name(model_name)

    @staticmethod
    def validate_inputs(model_path: str, model_name: str, export_path: str) -> None:
        check_inputs(model_path, model_name, export_path)


def _as_patterns(names: Collection[str]) -> list[str]:
    return [glob.escape(name) for name in names]
