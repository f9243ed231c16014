# mypy: ignore-errors
from django.urls import path

from tests.bench.peer.views import ForecastView, OpportunityViewSet

urlpatterns = [
    path("api/opportunities/", OpportunityViewSet.as_view({"get": "list", "post": "create"})),
    path("api/opportunities/forecast/", ForecastView.as_view()),
    path("api/opportunities/<uuid:pk>/", OpportunityViewSet.as_view({"get": "retrieve"})),
    path("api/opportunities/<uuid:pk>/transition/", OpportunityViewSet.as_view({"post": "transition"})),
]
