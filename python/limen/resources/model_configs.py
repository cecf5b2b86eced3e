"""Model configs: limits of a model, on one provider or on all of them together."""

from typing import Final

import msgspec

from limen.model import ListModelConfigsResponse, ModelConfig
from limen.resources import views
from limen.resources.base import Resource, merged_limits, need
from limen.resources.book import Draft
from limen.resources.limits import limit_fields
from limen.resources.reading import name, optional_name
from limen.resources.records import ModelConfigRow
from limen.resources.shape import Body, Field, Null, Shape

_FIXED: Final = ("id", "config_hash")


def _shape(create: bool) -> Shape:
    fields = {"model_name": Field(name, Null.REFUSED), "provider": Field(optional_name, Null.VALUE)}
    return Shape(fields | limit_fields(create), fixed=_FIXED)


class ModelConfigs(Resource[ModelConfigRow, ModelConfig, ListModelConfigsResponse]):
    """`engine.model_configs`."""

    kind = "model_config"
    noun = "model config"
    page = ListModelConfigsResponse
    create_shape = _shape(True)
    update_shape = _shape(False)

    def merge(
        self, old: ModelConfigRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> ModelConfigRow | None:
        model = need(body, "model_name", old.model_name if old else None, at, draft.faults)
        budgets, rate = merged_limits(old, body, at, draft, create)
        if model is None:
            return None
        record = old or ModelConfigRow(id=id, created=draft.now, updated=draft.now, model_name=model)
        return msgspec.structs.replace(
            record,
            model_name=model,
            provider=body.get("provider", record.provider),
            budgets=budgets,
            rate=rate,
        )

    def show(self, record: ModelConfigRow) -> ModelConfig:
        return views.model_config(self.book, record)

    def title(self, record: ModelConfigRow) -> str:
        return record.model_name

    def warn(self, record: ModelConfigRow, draft: Draft) -> list[str]:
        return [] if record.budgets or record.rate else ["this model config limits nothing"]
