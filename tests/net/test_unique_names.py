"""Names are made unique by counting up, also where thousands of layers share one."""

from __future__ import annotations

from caffe2fx.net.unique_names import unique_name


class Counted(set[str]):
    """Names that count how often one is looked up."""

    asked = 0

    def __contains__(self, name: object) -> bool:
        self.asked += 1
        return super().__contains__(name)


def test_equal_names_are_counted_up_in_few_questions() -> None:
    taken = Counted()
    made = [unique_name("a", taken) for _ in range(2000)]
    assert made == ["a", *(f"a_{index}" for index in range(1, 2000))]
    assert taken.asked < 25 * 2000


def test_a_name_is_free_whatever_is_taken() -> None:
    taken = {"a", "a_1", "a_3", "A_4", "b_2", "b"}
    assert [unique_name("a", taken) for _ in range(3)] == ["a_2", "a_4", "a_5"]
    assert [unique_name("b", taken) for _ in range(2)] == ["b_1", "b_3"]
    lower = {name.lower() for name in taken}
    assert unique_name("A", lower, key=str.lower) == "A_6"
