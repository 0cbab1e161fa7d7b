"""JSON measure files: write, read, merge. No torch."""
import json
from pathlib import Path
from gentool.files import write_whole

def dumps_line(record):
    return json.dumps(record, ensure_ascii=False, allow_nan=False)

def write(path: Path, record):
    write_whole(path, (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode())
