"""Time the start of the commands that must not import torch: `gentool --help` and `gentool plot`.

python examples/benchmarks/startup.py JSON...    measure files to plot; prints medians of seven runs
"""

import statistics
import subprocess
import sys
import tempfile
import time


def seconds(*arguments: str, runs: int = 7) -> float:
    """Return the median time of a command, a process of its own, after one run to warm up."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "gentool", *arguments], check=True, stdout=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


if __name__ == "__main__":
    print(f"gentool --help   {seconds('--help'):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        figure = ["-q", "--force", "-o", f"{folder}/figure.png"]
        print(f"gentool plot     {seconds('plot', *sys.argv[1:], *figure):.2f} s")
