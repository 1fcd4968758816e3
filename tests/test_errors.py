import inspect
import pickle
import re
import time
from email.utils import formatdate

import pytest

from semcascade import errors
from semcascade.config import Member
from semcascade.provider_errors import provider_error

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]
PUBLIC = [cls for cls in CLASSES if not cls.__name__.startswith("_")]


def make(cls):
    if issubclass(cls, errors.MemberError):
        return cls("it broke", member="m", status=500, retry_after=1.5)
    if issubclass(cls, errors.CascadeError):
        return cls("nobody answered", failures=[errors.ServerError("down", member="a")])
    if cls is errors.MissingDependencyError:
        return cls("numpy", extra="all", purpose="arithmetic")
    if issubclass(cls, errors.ConfigError | errors.InputError):
        return cls("is wrong", field="threshold")
    return cls("it broke")


def test_every_public_error_is_exported_and_drawn_in_the_tree():
    assert sorted(cls.__name__ for cls in PUBLIC) == sorted(errors.__all__)
    drawn = re.findall(r"\w+Error", errors.__doc__)
    assert set(errors.__all__) <= set(drawn)


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_errors_have_one_base_and_survive_pickling(cls):
    error = make(cls)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(error, errors.SemcascadeError)
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert {key: str(value) for key, value in vars(copy).items()} == {
        key: str(value) for key, value in vars(error).items()
    }


def test_messages_name_field_member_and_remedy():
    assert str(make(errors.ConfigError)) == "threshold: is wrong"
    assert str(make(errors.RateLimitError)) == "m: it broke"
    assert "pip install 'semcascade[all]'" in str(make(errors.MissingDependencyError))
    assert "a: down" in str(make(errors.CascadeError))


def test_builtin_bases_fit_what_callers_catch():
    assert isinstance(make(errors.ConfigError), ValueError)
    assert isinstance(make(errors.MissingDependencyError), ImportError)
    assert isinstance(make(errors.DeadlineExceededError), TimeoutError)


def test_only_passing_troubles_are_retryable():
    retryable = {cls.__name__ for cls in PUBLIC if getattr(cls, "retryable", False)}
    assert retryable == {
        "RateLimitError",
        "MemberTimeoutError",
        "ConnectionFailedError",
        "ServerError",
        "MalformedReplyError",
    }


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-5", None),
        ("1e999", None),
        ("nan", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999999 07:28:00 GMT", None),
    ],
)
def test_how_long_a_provider_asks_to_wait(said, seconds):
    class BusyError(Exception):
        status_code, headers = 429, {"retry-after": said}

    assert provider_error(BusyError("busy"), Member(model="a")).retry_after == seconds


def test_a_provider_may_ask_to_wait_until_a_date():
    class BusyError(Exception):
        status_code, headers = 429, {"retry-after": formatdate(time.time() + 3600, usegmt=True)}

    assert provider_error(BusyError("busy"), Member(model="a")).retry_after == pytest.approx(3600, abs=60)
