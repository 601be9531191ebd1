"""Write a text with a trained language model, from the kept weights of a run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from depthbench.data.token_cache import cached_tokenizer
from depthbench.data.tokens import Tokenizer
from depthbench.errors import ResultError
from depthbench.expand import expand
from depthbench.folder import RunFolder, as_run_folder, find_runs
from depthbench.grammar import TEXT_SETS
from depthbench.models import build_model
from depthbench.spec import Trial, context_of
from depthbench.store import read_run, read_run_json
from depthbench.suite import parse_suite


def sample_text(
    run: Path | str,
    trial_id: str,
    prompt: str = "",
    *,
    length: int = 200,
    temperature: float = 0.8,
    seed: int = 0,
) -> str:
    """Return the prompt and how a trained language model goes on, to the end of its story.

    Args:
        run: the run's folder.
        trial_id: which trial; its beginning is enough where only one has it.
        prompt: how the text begins.
        length: tokens to add at most.
        temperature: what logits are divided by; 0 takes the likeliest token.
        seed: of the random choices.

    Raises:
        ResultError: there is no such run or trial, it is none of text, or its weights are gone.
    """
    folder = _folder(Path(run))
    trial = _trial(folder, trial_id)
    tokenizer = _tokenizer(folder, trial)
    model = _model(folder, trial)
    tokens = [int(token) for token in tokenizer.encode([prompt])[0]] if prompt else []
    generator = torch.Generator().manual_seed(seed)
    added = generate(
        model,
        [tokenizer.end_of_text, *tokens],
        length,
        context=context_of(trial.dataset_settings),
        num_tokens=len(tokenizer.token_bytes()),
        end_of_text=tokenizer.end_of_text,
        temperature=temperature,
        generator=generator,
    )
    return tokenizer.decode([*tokens, *added])


def generate(  # noqa: PLR0913 - what a walk through tokens needs
    model: nn.Module,
    start: list[int],
    length: int,
    *,
    context: int,
    num_tokens: int,
    end_of_text: int,
    temperature: float,
    generator: torch.Generator,
) -> list[int]:
    """Return the tokens that follow a start, until the end of the text or a length.

    The model sees the last `context` tokens. Ids from `num_tokens` on stand for nothing, where the
    vocabulary came out smaller than networks are built for, and are never drawn.

    Shapes:
        the model maps (1, T) int64 tokens to (1, T, K) logits.
    """
    tokens = list(start)
    with torch.inference_mode():
        for _ in range(length):
            window = torch.tensor([tokens[-context:]])  # (1, T)
            logits = model(window)[0, -1, :num_tokens].float()  # (K,)
            token = _draw(logits, temperature, generator)
            if token == end_of_text:
                break
            tokens.append(token)
    return tokens[len(start) :]


def _draw(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    # float64 and the largest taken off: a small temperature must not overflow.
    scaled = (logits.double() - logits.max()) / temperature
    return int(torch.multinomial(scaled.softmax(dim=0), 1, generator=generator))


def _folder(path: Path) -> RunFolder:
    """Return the run's folder; that of a suite with a single run is as good."""
    found = find_runs(path)
    return as_run_folder(found[0] if len(found) == 1 else path)


def _trial(folder: RunFolder, trial_id: str) -> Trial:
    """Return the trial that a run's own suite gives this id."""
    state = read_run_json(folder)
    # The canonical suite, since the text lacks what --set changed; JSON is YAML.
    text = json.dumps(state.get("suite_canonical"))
    trials = {trial.trial_id: trial for trial in expand(parse_suite(text, str(folder.run_json)))}
    fitting = [trials[name] for name in trials if name.startswith(trial_id)]
    if trial_id in trials:
        fitting = [trials[trial_id]]
    if len(fitting) != 1:
        what = "no trial" if not fitting else f"{len(fitting)} trials"
        names = [trial.trial_id for trial in fitting] or list(trials)
        known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise ResultError(f"{folder.path}: has {what} {trial_id!r}; its trials: {known}")
    (trial,) = fitting
    if trial.dataset not in TEXT_SETS:
        raise ResultError(
            f"{folder.path}: trial {trial.trial_id} learned {trial.task} on {trial.dataset}, which "
            f"is no text; only language models can be sampled ({', '.join(TEXT_SETS)})"
        )
    return trial


def _tokenizer(folder: RunFolder, trial: Trial) -> Tokenizer:
    """Return the tokenizer of a trial, by the digest of the text that it learned."""
    rows = read_run(folder).trials
    digests = rows.loc[rows["trial_id"] == trial.trial_id, "data_digest"].dropna()
    if digests.empty:
        raise ResultError(f"{folder.path}: trial {trial.trial_id} has not been trained yet")
    found = cached_tokenizer(digests.iloc[0], trial.dataset_settings)
    if found is None:
        raise ResultError(
            f"{folder.path}: the tokenizer of trial {trial.trial_id} is no longer in the user "
            "cache; `depthbench run` of the same suite with the same text makes it again"
        )
    return found


def _model(folder: RunFolder, trial: Trial) -> nn.Module:
    path = folder.weights(trial.trial_id)
    if not path.exists():
        raise ResultError(
            f"{folder.path}: the weights of trial {trial.trial_id} were not kept; run the suite "
            "again with --keep-weights under another --run NAME"
        )
    model = build_model(trial)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
