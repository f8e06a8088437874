"""What leaves a task group: an interrupt before an error, an error of ours before others, a lone one as itself."""

import pytest

from harness.errors import HarnessError, LabError, UsageError, first_error, ungrouped


def nested(*errors: BaseException) -> BaseExceptionGroup:
    return BaseExceptionGroup("outer", [BaseExceptionGroup("inner", errors)])


def test_an_interrupt_goes_before_an_error_that_came_first() -> None:
    with pytest.raises(KeyboardInterrupt), ungrouped():
        raise nested(LabError("broken"), KeyboardInterrupt())


def test_the_first_error_of_ours_goes_before_others() -> None:
    with pytest.raises(HarnessError, match="first"), ungrouped():
        raise nested(ValueError("a defect"), LabError("first"), UsageError("second"))


def test_a_lone_error_of_any_kind_leaves_as_itself() -> None:
    with pytest.raises(ValueError, match="a defect"), ungrouped():
        raise nested(ValueError("a defect"))


def test_several_errors_of_others_leave_as_they_are() -> None:
    group = nested(ValueError("a"), OSError("b"))
    with pytest.raises(BaseExceptionGroup) as caught, ungrouped():
        raise group
    assert caught.value is group


def test_the_first_error_is_found_however_deep_it_stands() -> None:
    deep, late = UsageError("deep"), UsageError("late")
    assert first_error(ExceptionGroup("tasks", [ExceptionGroup("inner", [deep]), late])) is deep
    assert first_error(ExceptionGroup("tasks", [late, ExceptionGroup("inner", [deep])])) is late
