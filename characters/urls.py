from django.urls import path

from characters import archive_views, image_views, lora_views, views

urlpatterns = [
    path("characters", views.CharacterListView.as_view(), name="character-list"),
    path("characters/<str:character_id>", views.CharacterView.as_view(), name="character"),
    path("characters/<str:character_id>/images", image_views.ImageListView.as_view(), name="character-image-list"),
    path(
        "characters/<str:character_id>/images.zip",
        archive_views.ImageArchiveView.as_view(),
        name="character-image-archive",
    ),
    path(
        "characters/<str:character_id>/images/<str:filename>",
        image_views.ImageView.as_view(),
        name="character-image",
    ),
    path(
        "characters/<str:character_id>/images/<str:filename>/caption",
        image_views.CaptionView.as_view(),
        name="character-image-caption",
    ),
    path("loras", lora_views.LoraListView.as_view(), name="lora-list"),
    path("loras/upload", lora_views.LoraUploadView.as_view(), name="lora-upload"),
    path("loras/<str:lora_id>", lora_views.LoraView.as_view(), name="lora"),
]
