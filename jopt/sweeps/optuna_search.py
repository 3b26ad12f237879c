"""``jopt.OptunaSearch``: what ``search=`` of a sweep is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jopt.results import scores, studies
from jopt.values import require
from jopt.values.numbers import whole
from jopt.values.showing import shown

if TYPE_CHECKING:
    import optuna


class OptunaSearch:
    """Lets Optuna choose the settings of a sweep, a round of them at once, by what came of those before.

    For each round the study is asked ``batch`` times, with the trials that it has not heard of yet held to be bad (a *constant
    liar*), so that they do not all ask for the same. The round is trained side by side, and each setting's mean score over
    its seeds is told, with its curve. What ``prune=`` took out is told as pruned. What diverged is told as complete with an
    infinite score (or minus infinity): Optuna's samplers look at complete and pruned trials only, so they would go on to ask
    for what had merely failed. All axes are asked for, choices and grids too, as categories.

    A round has the shape of the one before, so it compiles nothing. Where ``samples`` is no multiple of ``batch``, rounds are
    smaller and of one size if there is such a size of more than half of ``batch``; else the last is smaller. Each value of
    structure (``jopt.choice(False, True)``) is a program of its own, which rounds hold in different numbers, so that more is
    compiled.

    With ``checkpoint=`` a search goes on, too: what an earlier call has asked for is not asked for again, and what it has
    trained is told as it was. Where the sampler has a seed, as the default has, the search is then bit for bit the one that
    nobody ended; one without a seed asks for other settings from there on. A study of yours hears of no setting twice that it
    knows with its score; what was asked for when a call ended has failed there.

    Args:
      sampler: Any sampler of Optuna; by default its TPE, multivariate and with a constant liar, after a first round of the
        points that a sweep without search draws. The sweep's ``seed=`` makes that reproducible. A sampler is copied before it
        is used, so that each sweep begins with it as it was given.
      batch: Settings in a round, at least 1. Larger rounds train faster, smaller ones choose better.
      study: A study of yours, which is asked and told instead of a new one in memory; it brings its sampler, and it goes on
        from what it knows already. Its direction must be that of the metric. Its pruner is not asked: give ``prune=``.
      metric: What is told; None: what ranks in ``best()``.
      mode: "min" or "max"; None: the metric's own direction.

    Raises:
      ImportError: Without Optuna, an extra: ``jopt[optuna]``.
      TypeError: For a sampler or a study that is none.
      ValueError: For a sampler beside a study, a study of several objectives, and a batch under 1.

    Example:
      >>> rates = jopt.loguniform(1e-3, 1.0)
      >>> search = jopt.OptunaSearch(batch=8)
      >>> result = jopt.sweep(lambda x, batch: (x**2).sum(), jnp.ones(2), jopt.sgd(rates), steps=5, samples=16, search=search)
      >>> result.dataset.sizes["learning_rate"]
      16
    """

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler | None = None,
        batch: int = 32,
        study: optuna.study.Study | None = None,
        metric: str | None = None,
        mode: scores.Mode | None = None,
    ) -> None:
        library = studies.library()
        if sampler is not None and not isinstance(sampler, library.samplers.BaseSampler):
            raise TypeError(
                f"OptunaSearch: sampler must be one of optuna.samplers, such as TPESampler(), but is {shown(sampler)}."
            )
        if study is not None and not isinstance(study, library.study.Study):
            raise TypeError(f"OptunaSearch: study must be an optuna.study.Study, but is {shown(study)}.")
        if study is not None and sampler is not None:
            raise ValueError("OptunaSearch: a study has its sampler; give optuna.create_study(sampler=...), or sampler= alone.")
        if study is not None and len(study.directions) > 1:
            raise ValueError("OptunaSearch: the study has several objectives, but a sweep is told by one metric.")
        require.one_of("OptunaSearch: mode", mode, ("min", "max", None), ", or None for the metric's own")
        if metric is not None:
            require.text("OptunaSearch: metric", metric, ", the name of what is recorded")
        self.sampler, self.study, self.metric, self.mode = sampler, study, metric, mode
        self.batch = whole("OptunaSearch: batch", batch)

    def __repr__(self) -> str:
        given = {name: x for name, x in vars(self).items() if x is not None}
        return f"OptunaSearch({', '.join(f'{name}={x!r}' for name, x in given.items())})"


def search_of(search: Any, samples: Any) -> OptunaSearch | None:
    """The argument ``search``, checked."""
    if search is None:
        return None
    if not isinstance(search, OptunaSearch):
        raise TypeError(f"search must be None or jopt.OptunaSearch(...), but is {shown(search)}.")
    if samples is None:
        raise ValueError("search= needs samples=, how many settings are tried.")
    return search
