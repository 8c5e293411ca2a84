python - <<'PYTHON'
from PIL import Image, ImageDraw, ImageFont

image = Image.new("RGB", (400, 100), "white")
ImageDraw.Draw(image).text((20, 20), "Paper 2024", fill="black", font=ImageFont.load_default(36))
image.save("page.png")
PYTHON
