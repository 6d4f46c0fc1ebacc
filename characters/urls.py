from django.urls import path

from characters import views

urlpatterns = [
    path("characters", views.CharacterListView.as_view(), name="character-list"),
    path("characters/<str:character_id>", views.CharacterView.as_view(), name="character"),
    path("characters/<str:character_id>/images", views.ImageListView.as_view(), name="character-image-list"),
    path("characters/<str:character_id>/images/<str:filename>", views.ImageView.as_view(), name="character-image"),
]
