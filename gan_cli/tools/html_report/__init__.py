"""`gan report`: a run, or a folder of runs, as one HTML page that needs no other file and no network."""

from __future__ import annotations

from pathlib import Path

from gan_cli.tools.html_report import markup, run_page, sweep_page
from gan_cli.training import run_history
from gan_cli.training.find_runs import refuse_inside_run, refuse_links_below
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import make_folder, writable, write_text

NAME = "report.html"


def report(path: Path, *, out: str | None = None) -> None:
    """Write the page of the run in `path`, or of the runs below it, to `out`; report.html in `path` if omitted.

    GanError if there is no run, if it cannot be read, or if the page cannot be written.
    """
    file = Path(out) if out else path / NAME
    if file.is_dir() or file.suffix not in (".html", ".htm"):
        raise GanError(f"out={file}: name a file that ends in .html")
    refuse_inside_run(file.parent, "out")
    writable(file.parent, f"out={file}")
    if run_history.is_run(path):
        title, body = run_page.body(path)
    else:
        refuse_links_below(path, "folder")
        title, body = sweep_page.body(path)
    make_folder(file.parent)
    content = markup.page(title, body)
    write_text(file, content)
    print(f"{file} ({len(content.encode()) / 2**20:.1f} MB)")
