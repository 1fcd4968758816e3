"""The flags that all commands share: what they say reaches the configuration."""

import json

import click
import pytest
from click.testing import CliRunner

from semcascade.cli.settings import cascade_options, need_config


@click.command()
@cascade_options
def show(**options):
    config = need_config(**options)
    click.echo(json.dumps([config.early_exit, config.speculate, config.drop_slow, config.hedge_after]))


def shown(*flags):
    ran = CliRunner().invoke(show, ["--ensemble", "a,b,c", "--target", "t", *flags])
    if ran.exception is not None:
        raise ran.exception
    return json.loads(ran.output)


@pytest.mark.parametrize(
    ("flags", "haste"),
    [
        ([], ["answer", "off", None, None]),
        (["--early-exit", "verdict", "--speculate", "likely"], ["verdict", "likely", None, None]),
        (["--speculate", "2.5", "--hedge-after", "0.5"], ["answer", 2.5, None, 0.5]),
        (["--drop-slow", "0.95", "--hedge-after", "p95"], ["answer", "off", 0.95, "p95"]),
    ],
)
def test_what_takes_less_time_is_chosen_by_flags(flags, haste):
    assert shown(*flags) == haste


@pytest.mark.parametrize(
    ("flag", "value"), [("--drop-slow", "2"), ("--speculate", "soon"), ("--hedge-after", "p0"), ("--hedge-after", "0")]
)
def test_a_wrong_flag_is_refused_by_its_settings_name(flag, value):
    with pytest.raises(Exception, match=flag[2:].replace("-", "_")):
        shown(flag, value)
