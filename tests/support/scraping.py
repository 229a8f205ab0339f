"""/metrics as Prometheus reads it."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """The samples of one look, by name and labels."""

    values: dict[tuple[str, Labels], float]

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of all samples of this name that have these labels; 0 where there is none."""
        wanted = labels.items()
        return sum(
            value for (sample, having), value in self.values.items() if sample == name and wanted <= having
        )

    def labels_of(self, name: str, label: str) -> set[str]:
        return {dict(having)[label] for sample, having in self.values if sample == name}

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values}


def parse(text: str) -> Scrape:
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return Scrape({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})


async def scrape(http: httpx.AsyncClient) -> Scrape:
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    return parse(answer.text)
