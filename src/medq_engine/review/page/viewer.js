// One image on a canvas: zoom and pan, and window/level on its 8-bit pixels.
const PIXELS = 10; // so large, pixels are shown as squares: nothing is smoothed away

export class Viewer {
  /** @param {HTMLCanvasElement} canvas  @param {(viewer: Viewer) => void} changed after each drawing */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.image = document.createElement("canvas");
    this.pixels = null;
    this.asked = "";
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 500), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
  }

  /** Show the image of an address; `windowed` if window and level may be changed. */
  async load(address, windowed) {
    if (address === this.asked) return;
    this.asked = address;
    this.windowed = windowed;
    const picture = new Image();
    picture.src = address;
    try {
      await picture.decode();
    } catch {
      throw new Error("the image cannot be shown; is the server still there?");
    }
    if (address !== this.asked) return; // another one was asked for in the meantime
    this.image.width = picture.naturalWidth;
    this.image.height = picture.naturalHeight;
    const context = this.image.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    this.pixels = context.getImageData(0, 0, this.image.width, this.image.height);
    this.reset();
  }

  reset() {
    this.scale = 1; // times the size that just fits
    this.x = this.y = 0; // of the image's centre from the canvas's, in CSS pixels
    this.setLevels(128, 256);
  }

  setLevels(level, width) {
    this.level = Math.min(255, Math.max(0, level));
    this.width = Math.min(256, Math.max(2, width));
    if (this.pixels) {
      const bottom = this.level - this.width / 2;
      const table = Uint8ClampedArray.from({ length: 256 }, (_, value) =>
        this.width === 256 && this.level === 128 ? value : ((value - bottom) / this.width) * 255);
      const source = this.pixels.data;
      const shown = new ImageData(this.pixels.width, this.pixels.height);
      for (let i = 0; i < source.length; i += 4) {
        shown.data[i] = table[source[i]];
        shown.data[i + 1] = table[source[i + 1]];
        shown.data[i + 2] = table[source[i + 2]];
        shown.data[i + 3] = source[i + 3];
      }
      this.image.getContext("2d").putImageData(shown, 0, 0);
    }
    this.draw();
  }

  /** Zoom, keeping a point of the canvas (CSS pixels; its centre by default) where it is. */
  zoomBy(factor, atX = this.canvas.clientWidth / 2, atY = this.canvas.clientHeight / 2) {
    const scale = Math.min(40, Math.max(0.5, this.scale * factor));
    const dx = atX - this.canvas.clientWidth / 2;
    const dy = atY - this.canvas.clientHeight / 2;
    this.x = dx - ((dx - this.x) * scale) / this.scale;
    this.y = dy - ((dy - this.y) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  drag(event) {
    if (event.buttons & 2 && this.windowed) {
      this.setLevels(this.level + event.movementY / 2, this.width + event.movementX);
    } else if (event.buttons & 5) {
      this.x += event.movementX;
      this.y += event.movementY;
      this.draw();
    }
  }

  /** CSS pixels of an image pixel. */
  get magnification() {
    const { clientWidth, clientHeight } = this.canvas;
    return this.scale * Math.min(clientWidth / this.image.width, clientHeight / this.image.height);
  }

  draw() {
    const { clientWidth, clientHeight } = this.canvas;
    const density = window.devicePixelRatio;
    this.canvas.width = Math.round(clientWidth * density);
    this.canvas.height = Math.round(clientHeight * density);
    if (!this.pixels) return;
    const context = this.canvas.getContext("2d");
    const size = this.magnification;
    context.imageSmoothingEnabled = size < PIXELS;
    context.imageSmoothingQuality = "high";
    const [width, height] = [this.image.width * size, this.image.height * size];
    context.scale(density, density);
    context.drawImage(this.image, (clientWidth - width) / 2 + this.x,
      (clientHeight - height) / 2 + this.y, width, height);
    this.changed(this);
  }
}
