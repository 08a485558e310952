"""Angles."""

import torch

from tests.ops.chains import chain
from tests.rows import Row, function

IMAGE = (2, 3, 4, 5)

ROWS = [
    Row("sin", function(lambda a: torch.sin(a * 3)),
        layers=chain("P P P E P R P R E P P E P E P E P E")),
    Row("sin_of_large", function(lambda a: torch.sin(a * 1e4)),
        ((4, 50),), chain("P P P E P R P R E P P E P E P E P E")),
    Row("cos", function(lambda a: torch.cos(a * 3)), layers=chain("P P P E A P P P E P E P E P E")),
    Row("cos_of_large", function(lambda a: torch.cos(a * 1e4)),
        ((4, 50),), chain("P P P E A P P P E P E P E P E")),
    Row("tan", function(lambda a: torch.tan(a * 3)),
        layers=chain("P P P E P P E A P P P E P E P E P E P E P E E E E E P E")),
    Row("tan_of_large", function(lambda a: torch.tan(a * 1e4)),
        ((4, 50),), chain("P P P E P P E A P P P E P E P E P E P E P E E E E E P E")),
    Row("sinc", function(torch.sinc),
        layers=chain("P P E P P R P R E P P E P E P E P E A T P E E P E")),
    Row("asin", function(lambda a: torch.asin(a.tanh())),
        layers=chain("H A P P P E P P E P E P E P E P E T P E E T P T E E")),
    Row("acos", function(lambda a: torch.acos(a.tanh())),
        layers=chain("H A P P P E P P E P E P E P E P E T E P P E E P T P E E")),
    Row("atan", function(lambda a: torch.atan(a * 3)),
        layers=chain("P A P E P P P E P E P E P E P E P E P E P E T P E E T P T E E")),
    Row("atan_of_large", function(lambda a: torch.arctan(a * 100)),
        ((4, 5),), chain("P A P E P P P E P E P E P E P E P E P E P E T P E E T P T E E")),
    Row("atan2", function(torch.atan2),
        (IMAGE, IMAGE),
        chain("A A E P E P P E P P E E T P P E P E P E P E P E P E P E P E P E E P T "
              "P E E P T P E")),
    Row("atan2_per_map", function(torch.atan2),
        (IMAGE, (2, 3, 1, 1)),
        chain("Flatten P B A A E P E P P E P P E E T P P E P E P E P E P E P E P E P "
              "E P E E P T P E E P T P E")),
    Row("atan2_number", function(lambda a: torch.arctan2(torch.tensor(0.5), a)),
        layers=chain("Parameter P B A A E P E P P E P P E E T P P E P E P E P E P E P E P E "
              "P E P E E P T P E E P T P E")),
    Row("deg2rad", function(lambda a: torch.deg2rad(a * 100)), layers=chain("P P")),
    Row("rad2deg", function(torch.rad2deg), layers=chain("P")),
    Row("sin_in_place", function(lambda a: (a * 2).sin_()),
        layers=chain("P P P E P R P R E P P E P E P E P E")),
]  # fmt: skip
