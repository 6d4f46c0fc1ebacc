"""Faces found in the finished picture and painted again, by Impact Pack."""

from generation.engines.comfyui import addon_nodes
from generation.engines.comfyui.nodes import Graph, Link
from generation.engines.comfyui.workflow.request import FACE_DETECTOR, FACES, Loaded, Request, Texts

DETECTORS = ("bbox/face_yolov8m.pt", "bbox/face_yolov8n.pt", "bbox/face_yolov8s.pt", "bbox/face_yolov9c.pt")
# Enough to draw eyes and mouth anew, and little enough to stay the same person.
DENOISE = 0.4


def detail_faces(graph: Graph, request: Request, loaded: Loaded, texts: Texts, image: Link) -> Link:
    if not request.params.use_facedetailer:
        return image
    file = request.catalogue.pick("UltralyticsDetectorProvider", "model_name", DETECTORS)
    graph[FACE_DETECTOR] = addon_nodes.face_detector(file)
    graph[FACES] = addon_nodes.face_detailer(
        image,
        detector=(FACE_DETECTOR, 0),
        model=loaded.model,
        clip=loaded.clip,
        vae=loaded.vae,
        positive=texts.positive,
        negative=texts.negative,
        settings=request.sampler_settings(denoise=DENOISE),
    )
    return (FACES, 0)
