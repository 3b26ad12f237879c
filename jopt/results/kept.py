"""What a result keeps of its lanes beside what was recorded: parameters, and optimizers' states where these were asked for."""

from __future__ import annotations

import abc
from typing import Any

import jax
import numpy as np

from jopt.results.pickles import PickledTree
from jopt.results.ragged import Ragged
from jopt.results.record import SweepRecord
from jopt.transforms.averaging import evaluation_params


class Kept(abc.ABC):
    """The part of a ``SweepResult`` that is about the lanes' carries."""

    _params: Any  # a tree, a ``Ragged`` of several, or a ``PickledTree`` of either; beside states what was trained
    _state: Any
    _by_step: bool
    _key_kinds: tuple[Any, ...]
    _shardings: tuple[Any, Any] | None = None  # of a lane's parameters and state, where they were spread over devices

    @property
    @abc.abstractmethod
    def record(self) -> SweepRecord:
        """The arrays and their names."""

    @property
    def params(self) -> Any:
        """Trained parameters of all lanes: leaves [*dims, seed, ...]; with ``keep="best"`` of each lane's best evaluation.

        Of an optimizer that averages parameters they are the average, as in ``jopt.evaluation_params``; see ``raw_params``.

        Raises:
          ValueError: Where the sweep kept none, with ``keep="none"``; and where an axis of structure changes their shapes:
            ``params_at`` has those of one setting.
        """
        params, state = self._kept_params, self._kept_beside
        if isinstance(state, Ragged) and not isinstance(params, Ragged):
            shape = self.record.shape
            each = map(self.params_at, np.ndindex(shape))
            return jax.tree.map(lambda *x: np.stack(x).reshape(*shape, *np.shape(x[0])), *each)
        return evaluation_params(state, _whole(params))

    def params_at(self, index: tuple[int, ...]) -> Any:
        """The trained parameters of one setting, as in ``params``.

        Args:
          index: One integer per dimension of the grid.

        Returns:
          The tree, leaves [seed, ...].

        Raises:
          ValueError: Where the sweep kept none, with ``keep="none"``.
        """
        return evaluation_params(
            _at(self._kept_beside, self.record.place(index)), _at(self._kept_params, self.record.place(index))
        )

    @property
    def raw_params(self) -> Any:
        """The parameters of all lanes after the last step at which gradients are taken, which belong to ``state``.

        They are ``params``, but of an optimizer that averages parameters.

        Raises:
          ValueError: Where the sweep did not keep them, with ``keep="carry"``; and where an axis of structure changes their
            shapes: ``raw_params_at`` has those of one setting.
        """
        return _whole(self._kept_raw)

    def raw_params_at(self, index: tuple[int, ...]) -> Any:
        """The parameters of one setting after the last step at which gradients are taken.

        Args:
          index: One integer per dimension of the grid.

        Returns:
          The tree, leaves [seed, ...].

        Raises:
          ValueError: Where the sweep did not keep them, with ``keep="carry"``.
        """
        return _at(self._kept_raw, self.record.place(index))

    @property
    def state(self) -> Any:
        """The optimizers' states of all lanes after the last step: leaves [*dims, seed, ...].

        Raises:
          ValueError: Where the sweep did not keep them, with ``keep="carry"``; and where an axis of structure changes their
            shapes: ``state_at`` has those of one setting.
        """
        state = self._kept_state
        if isinstance(state, Ragged):
            raise ValueError(
                "The states differ in shape from setting to setting, so they are no arrays over all lanes; that of one setting "
                "is in a trial, result.best().state, or result.state_at(index)."
            )
        return state

    def state_at(self, index: tuple[int, ...]) -> Any:
        """The optimizer's state of one setting after the last step.

        Args:
          index: One integer per dimension of the grid.

        Returns:
          The tree, leaves [seed, ...].

        Raises:
          ValueError: Where the sweep did not keep it, with ``keep="carry"``.
        """
        return _at(self._kept_state, self.record.place(index))

    def placed(self, tree: Any, state: bool = False) -> Any:
        """One lane's parameters, or its state, where its sweep had them if that was on several devices.

        Args:
          tree: Of one seed of one setting, arrays on the host.
          state: Whether it is the optimizer's state.

        Returns:
          The tree, spread over the devices over which the sweep had spread each lane; as it is, where lanes ran on one.
        """
        return tree if self._shardings is None else jax.device_put(tree, self._shardings[state])

    @property
    def ragged(self) -> bool:
        """Whether what is kept differs in shape from setting to setting."""
        return any(isinstance(tree_of(kept), Ragged) for kept in (self._params, self._state))

    @property
    def by_step(self) -> bool:
        """Whether the result is of ``jopt.sweep_steps``, whose carries are the parameters here."""
        return self._by_step

    @property
    def key_kinds(self) -> tuple[Any, ...]:
        """For each leaf of a carry of ``jopt.sweep_steps``, of which kind of random keys it is the data, or None.

        Where carries differ in shape, for those of one program after the other.
        """
        return self._key_kinds

    def key_kinds_at(self, index: tuple[int, ...]) -> tuple[Any, ...]:
        """The ``key_kinds`` of one setting.

        Args:
          index: One integer per dimension of the grid.

        Returns:
          One for each leaf of a carry; empty where nobody knows.
        """
        params, index = self._kept_params, self.record.place(index)
        if not isinstance(params, Ragged) or not self._key_kinds:
            return self._key_kinds
        counts = [len(jax.tree.leaves(stack)) for stack in params.stacks]
        stack = int(params.where[index][0])
        return self._key_kinds[sum(counts[:stack]) :][: counts[stack]]

    @property
    def _kept_params(self) -> Any:
        self._check_complete("parameters")
        if self.record.keep == "none":
            raise ValueError('This result has no parameters: the sweep was asked to keep none, with keep="none".')
        return tree_of(self._params)

    @property
    def _kept_beside(self) -> Any:
        """The states beside the parameters; None where there are none."""
        return tree_of(self._state) if self.record.keep == "carry" and not self.by_step else None

    @property
    def _kept_raw(self) -> Any:
        self._check_carry("parameters at which gradients are taken")
        return tree_of(self._params)

    @property
    def _kept_state(self) -> Any:
        self._check_carry("states of the optimizer")
        return tree_of(self._state)

    def _check_carry(self, what: str) -> None:
        if self.by_step:
            raise ValueError("The carry of jopt.sweep_steps is the parameters and all states in one; look at params.")
        self._check_complete(what)
        if self.record.keep != "carry":
            raise ValueError(
                f'This result has no {what}: the sweep had keep="{self.record.keep}", but keep="carry" keeps them.'
            )

    def _check_complete(self, what: str) -> None:
        if not self.record.complete and self._params is None and self.record.keep != "none":
            raise ValueError(f"This result has no {what}: it is of a sweep that had not come to its end.")


def tree_of(kept: Any) -> Any:
    """What is kept, out of its pickle where it is in one."""
    return kept.value if isinstance(kept, PickledTree) else kept


def _whole(params: Any) -> Any:
    if isinstance(params, Ragged):
        raise ValueError(
            "The parameters differ in shape from setting to setting, so they are no arrays over all lanes; those of one "
            "setting are in a trial, result.best().params, or result.params_at(index)."
        )
    return params


def _at(tree: Any, index: tuple[int, ...]) -> Any:
    return tree.at(index) if isinstance(tree, Ragged) else jax.tree.map(lambda leaf: leaf[index], tree)
