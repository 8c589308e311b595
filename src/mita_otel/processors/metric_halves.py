"""Halves of a collection of metrics, for backends that refuse its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData


def halves(data: MetricsData) -> tuple[MetricsData, MetricsData] | None:
    """Return two collections with half of the data points each, or None if there is only one point."""
    points = [
        (resource, scope, metric, point)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    if len(points) < 2:
        return None
    middle = len(points) // 2
    return _collection(points[:middle]), _collection(points[middle:])


def _collection(points: Sequence[tuple[Any, Any, Any, Any]]) -> MetricsData:
    """Return a collection of points, each of which has its resource, scope and metric."""
    tree: dict[int, tuple[Any, dict[int, tuple[Any, dict[int, tuple[Any, list[Any]]]]]]] = {}
    for resource, scope, metric, point in points:
        scopes = tree.setdefault(id(resource), (resource, {}))[1]
        metrics = scopes.setdefault(id(scope), (scope, {}))[1]
        metrics.setdefault(id(metric), (metric, []))[1].append(point)
    return MetricsData(
        [
            replace(
                resource,
                scope_metrics=[
                    replace(
                        scope,
                        metrics=[
                            replace(metric, data=replace(metric.data, data_points=found))
                            for metric, found in metrics.values()
                        ],
                    )
                    for scope, metrics in scopes.values()
                ],
            )
            for resource, scopes in tree.values()
        ]
    )
