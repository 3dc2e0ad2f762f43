"""Shell completion of verbs, config groups, keys, options, demos and run directories."""

from __future__ import annotations

import shlex
from pathlib import Path

from gan_cli.cli.verbs import VERBS
from gan_cli.config.groups import groups
from gan_cli.tools import demos
from gan_cli.training.find_runs import find_runs

BASH = r"""_gan() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n' word prefix="" item
    word="${line##*[[:space:]]}"
    # bash replaces only what follows the last = or :, so the part before it is removed from each candidate
    case "$COMP_WORDBREAKS" in *=*) prefix="${word%"${word##*[=:]}"}" ;; esac
    COMPREPLY=()
    for item in $(gan _complete "$line" 2>/dev/null); do COMPREPLY+=("${item#"$prefix"}"); done
}
complete -o nospace -o default -F _gan gan"""
ZSH = r"""_gan() {
    local -a items
    items=("${(@f)$(gan _complete "$LBUFFER" 2>/dev/null)}")
    items=(${items:#})
    (( $#items )) && compadd -Q -S '' -- "${items[@]}"
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _gan gan"""
FISH = r"""complete -c gan -f -a '(gan _complete (commandline -cp) 2>/dev/null)'"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

TRAIN_OPTIONS = ("--cfg", "--config-dir", "--config-name", "--help", "--hydra-help", "--info", "--multirun")


def candidates(line: str) -> list[str]:
    """Completions of the last word of a command line. line: the text from `gan` to the cursor."""
    words = line.split()
    last = "" if not line or line[-1].isspace() else words.pop()
    if len(words) < 2:
        return [f"{name} " for name in (*VERBS, "--help", "--version") if name.startswith(last)]
    verb = words[1]
    if verb == "train":
        return _train(last)
    if verb == "list":
        return [name for name in groups() if name.startswith(last)]
    if verb == "completion":
        return [name for name in SCRIPTS if name.startswith(last)]
    if verb == "demo" and len(words) == 2:
        return [f"{name} " for name in demos.names() if name.startswith(last)]
    if verb not in VERBS:
        return []
    if len(words) == 2:
        return _run_dirs(last)
    if verb == "resume":
        return _train(last)
    return [f"{key}=" for key in VERBS[verb].options if f"{key}=".startswith(last)]


def _train(word: str) -> list[str]:
    """Options of Hydra, and its own completion of groups, their files and keys."""
    if word.startswith("-"):
        return [name for name in TRAIN_OPTIONS if name.startswith(word)]
    from gan_cli.config.composer import Composer, arguments

    return Composer(arguments([])).completions(word)


def _run_dirs(word: str) -> list[str]:
    """Run directories whose path begins with the word, quoted: a name like $(command) would be run."""
    parent = Path(word).parent if not word.endswith("/") else Path(word)
    runs = [str(run) for run in find_runs(parent) if str(run).startswith(word) and str(run).isprintable()]
    return [f"{shlex.quote(run)} " for run in runs]
