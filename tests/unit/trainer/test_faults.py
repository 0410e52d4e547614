import errno
from pathlib import Path

import pytest
import torch

from trainyard.api.documents import DocumentError
from trainyard.api.report import TERMINATION_MESSAGE_LIMIT, ExitCode, LastWords
from trainyard.datasets.errors import DiskFull
from trainyard.stores import AccessDenied, BucketNotFound, StoreUnavailable
from trainyard.stores.errors import DigestMismatch
from trainyard_trainer import faults, termination
from trainyard_trainer.explaining import explain
from trainyard_trainer.progress import thinned


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (faults.BadData("x"), ExitCode.BAD_DATA, "BadData"),
        (DiskFull("x"), ExitCode.DISK_FULL, "DiskFull"),
        (OSError(errno.ENOSPC, "full", "a.npy"), ExitCode.DISK_FULL, "DiskFull"),
        (RuntimeError("file </torch_7>: No space"), ExitCode.INTERNAL_ERROR, "SharedMemoryFull"),
        (OSError(errno.EACCES, "denied", "a.npy"), ExitCode.INTERNAL_ERROR, "TrainerError"),
        (faults.ClassesMissing("x"), ExitCode.BAD_DATA, "ClassesMissing"),
        (faults.InvalidRunFile("x"), ExitCode.BAD_CONFIG, "InvalidRunFile"),
        (DocumentError("x"), ExitCode.BAD_CONFIG, "InvalidRunFile"),
        (faults.GPUNotVisible("x"), ExitCode.GPU_NOT_VISIBLE, "GPUNotVisible"),
        (torch.OutOfMemoryError("x"), ExitCode.GPU_OUT_OF_MEMORY, "GPUOutOfMemory"),
        (faults.LossNotFinite("x"), ExitCode.LOSS_NOT_FINITE, "LossNotFinite"),
        (faults.BaseModelUnusable("x"), ExitCode.BASE_MODEL_UNUSABLE, "BaseModelUnusable"),
        (faults.ArtefactUploadFailed("x"), ExitCode.STORE_UNAVAILABLE, "ArtefactUploadFailed"),
        (AccessDenied("x"), ExitCode.ACCESS_DENIED, "StoreAccessDenied"),
        (StoreUnavailable("x"), ExitCode.STORE_UNAVAILABLE, "StoreUnavailable"),
        (BucketNotFound("x"), ExitCode.STORE_UNAVAILABLE, "StoreContentUnusable"),
        (DigestMismatch("x"), ExitCode.STORE_UNAVAILABLE, "StoreContentUnusable"),
        (faults.Stopped("x"), ExitCode.STOPPED, "Stopped"),
        (ZeroDivisionError("x"), ExitCode.INTERNAL_ERROR, "TrainerError"),
    ],
)
def test_every_error_has_its_exit_code_and_reason(
    error: Exception, code: ExitCode, reason: str
) -> None:
    found, words = explain(error)
    assert (found, words.reason) == (code, reason)


def test_an_unknown_error_is_one_line_with_its_type() -> None:
    _, words = explain(ValueError("two\nlines " + "x" * 5000))
    assert words.message.startswith("ValueError: two lines xxx")
    assert "\n" not in words.message


def test_last_words_fit_what_the_kubelet_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINYARD_TERMINATION_LOG", str(tmp_path / "log"))
    termination.say(LastWords(reason="BadData", message="ü" * 2048, location="s3://b/" + "k" * 900))
    data = (tmp_path / "log").read_bytes()
    assert len(data) <= TERMINATION_MESSAGE_LIMIT
    words = LastWords.model_validate_json(data)
    assert words.reason == "BadData"
    assert words.message.startswith("ü" * 100)


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 1000])
def test_a_long_history_is_thinned_to_its_shape(count: int) -> None:
    kept = thinned(range(count), 50)
    assert len(kept) == min(count, 50)
    assert list(kept) == sorted(set(kept))
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)


def test_the_end_of_a_log_is_whole_lines_and_not_too_many(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    assert termination.tail(log) == ""
    log.write_text("first\nlast\n")
    assert termination.tail(log) == "first\nlast"
    lines = [f"line {number} " + "ü" * 50 for number in range(5000)]
    log.write_text("\n".join(lines) + "\n")
    found = termination.tail(log)
    assert len(found) <= 2048
    assert found.splitlines() == lines[-len(found.splitlines()) :]
    assert len(found) > 1900
    log.write_text("before\n" + "x" * 100_000 + "\nlast\n")
    assert termination.tail(log).splitlines()[-1] == "last"
    log.write_text("before\n" + "x" * 10_000 + "\nlast\n")
    assert termination.tail(log) == f"before\n{'x' * 400} ...\nlast"


def test_too_long_last_words_lose_old_lines_of_the_log_before_their_message() -> None:
    tail = "\n".join(f"{number:02d} " + "ü" * 47 for number in range(40))
    words = LastWords(reason="Stopped", message="é" * 1500, log_tail=tail)
    found = LastWords.model_validate_json(termination.encode(words))
    assert found.message == words.message
    assert 0 < len(found.log_tail) < len(tail)
    assert tail.endswith(found.log_tail)
    assert found.log_tail[:2].isdigit()
    short = LastWords(reason="Stopped", message="m", log_tail="a\nb")
    assert LastWords.model_validate_json(termination.encode(short)) == short
