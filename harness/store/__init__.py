"""A run on disk: written while it is recorded, readable after any crash, checked row by row when read.

`RunWriter` takes packets, events and streams and commits them about once a second; `open_run` reads a run, whole,
killed or still being written. The other modules: `layout` names the files, `atomic` writes them, `chunks` is the
format of the checksum files, `buffer` and `rowlog` the way of a row to the disk, `rowfile` its way back, `documents`
versioned JSON, `draft` the growing manifest, `names` fresh directories, `export` and `tables` CSV and Parquet.
"""

from harness.store.documents import read_summary, write_beside, write_document, write_summary
from harness.store.names import fresh_run_path
from harness.store.reader import RunReader, open_run
from harness.store.recorded import Recorded, RecordingError
from harness.store.writer import RunWriter

__all__ = [
    "Recorded",
    "RecordingError",
    "RunReader",
    "RunWriter",
    "fresh_run_path",
    "open_run",
    "read_summary",
    "write_beside",
    "write_document",
    "write_summary",
]
