"""What a folder of images holds that is not read."""

from gan_cli.data.layouts import Layout

NAMED = 5


def not_read(layout: Layout) -> list[str]:
    """Lines on what is skipped in the parts of a folder, and on what lies beside these."""
    lines = [f"not read in {part}: {skipped}" for part, skipped in layout.skipped.items() if skipped]
    part, files = next(iter(layout.parts.items()))
    if part == "all":  # everything in the folder
        return lines
    used = {name.split("/")[0] for name in layout.parts}
    folder = files.root.parents[part.count("/")]
    others = sorted(
        child.name + "/" * child.is_dir()
        for child in folder.iterdir()
        if child.name not in used and not child.name.startswith((".", "__MACOSX"))
    )
    if others:
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        lines.append(f"not read beside {', '.join(sorted(used))}: {', '.join(others[:NAMED])}{more}")
    return lines
