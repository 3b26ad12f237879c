"""Optimizers, one file per family: the rule, its state and its alias together.

A name is exported by its line here and nowhere else: ``jopt`` takes all that this room defines. ``x as x`` tells type
checkers that the name is meant for others.
"""

import typing

from jopt.optimizers.adabelief import adabelief as adabelief
from jopt.optimizers.adabelief import scale_by_belief as scale_by_belief
from jopt.optimizers.adadelta import adadelta as adadelta
from jopt.optimizers.adadelta import scale_by_adadelta as scale_by_adadelta
from jopt.optimizers.adafactor import adafactor as adafactor
from jopt.optimizers.adafactor import scale_by_factored_rms as scale_by_factored_rms
from jopt.optimizers.adagrad import adagrad as adagrad
from jopt.optimizers.adagrad import scale_by_rss as scale_by_rss
from jopt.optimizers.adam import adam as adam
from jopt.optimizers.adam import adamw as adamw
from jopt.optimizers.adam import scale_by_adam as scale_by_adam
from jopt.optimizers.adamax import adamax as adamax
from jopt.optimizers.adamax import adamaxw as adamaxw
from jopt.optimizers.adamax import scale_by_adamax as scale_by_adamax
from jopt.optimizers.adan import adan as adan
from jopt.optimizers.adan import scale_by_adan as scale_by_adan
from jopt.optimizers.ademamix import ademamix as ademamix
from jopt.optimizers.ademamix import scale_by_ademamix as scale_by_ademamix
from jopt.optimizers.aggmo import aggmo as aggmo
from jopt.optimizers.aggmo import scale_by_aggmo as scale_by_aggmo
from jopt.optimizers.amsgrad import amsgrad as amsgrad
from jopt.optimizers.amsgrad import scale_by_amsgrad as scale_by_amsgrad
from jopt.optimizers.kron import psgd_kron as psgd_kron
from jopt.optimizers.kron import scale_by_kron as scale_by_kron
from jopt.optimizers.layerwise import lamb as lamb
from jopt.optimizers.layerwise import lars as lars
from jopt.optimizers.lion import lion as lion
from jopt.optimizers.lion import scale_by_lion as scale_by_lion
from jopt.optimizers.mars import correct_by_mars as correct_by_mars
from jopt.optimizers.mars import mars as mars
from jopt.optimizers.muon import muon as muon
from jopt.optimizers.muon import scale_by_muon as scale_by_muon
from jopt.optimizers.nadam import nadam as nadam
from jopt.optimizers.nadam import nadamw as nadamw
from jopt.optimizers.nadam import scale_by_nadam as scale_by_nadam
from jopt.optimizers.normuon import normuon as normuon
from jopt.optimizers.prodigy import prodigy as prodigy
from jopt.optimizers.quasi_hyperbolic import qhadam as qhadam
from jopt.optimizers.quasi_hyperbolic import qhm as qhm
from jopt.optimizers.quasi_hyperbolic import scale_by_qhadam as scale_by_qhadam
from jopt.optimizers.quasi_hyperbolic import scale_by_qhm as scale_by_qhm
from jopt.optimizers.radam import radam as radam
from jopt.optimizers.radam import scale_by_radam as scale_by_radam
from jopt.optimizers.rmsprop import rmsprop as rmsprop
from jopt.optimizers.rmsprop import scale_by_rms as scale_by_rms
from jopt.optimizers.rmsprop import scale_by_stddev as scale_by_stddev
from jopt.optimizers.rprop import rprop as rprop
from jopt.optimizers.rprop import scale_by_rprop as scale_by_rprop
from jopt.optimizers.schedule_free import schedule_free as schedule_free
from jopt.optimizers.schedule_free import schedule_free_adamw as schedule_free_adamw
from jopt.optimizers.schedule_free import schedule_free_eval_params as schedule_free_eval_params
from jopt.optimizers.schedule_free import schedule_free_sgd as schedule_free_sgd
from jopt.optimizers.sgd import momentum as momentum
from jopt.optimizers.sgd import sgd as sgd
from jopt.optimizers.shampoo import scale_by_shampoo as scale_by_shampoo
from jopt.optimizers.shampoo import shampoo as shampoo
from jopt.optimizers.signs import scale_by_sign as scale_by_sign
from jopt.optimizers.signs import sign_sgd as sign_sgd
from jopt.optimizers.signs import signum as signum
from jopt.optimizers.soap import scale_by_soap as scale_by_soap
from jopt.optimizers.soap import soap as soap

if not typing.TYPE_CHECKING:  # they go by the lines above
    __all__ = [name for name, value in globals().items() if getattr(value, "__module__", "").startswith(__name__)]
