"""Makes the models of Andon: trains, measures, converts, compiles, and compares them.

Reading order, which is also the order of the data:

- `sources`, `coco_ssd`, `imagenet`: where weights come from.
- `photographs`, `leakage`, `scenes`, `samples`: from folders of photographs to training and test pictures.
- `network`, `calibration`, `train_classifier`: the classifier. `export` makes TFLite files of it.
- `build_detector`: the detector.
- `runners`, `evaluate`, `mean_average_precision`: how good a model is, on the product's own path where it can be.
- `tflite_file`, `compiler_log`, `compile_models`: the Edge TPU's compiler.
- `figures`, `plots`, `card`, `choosing_table`: what a reader sees.

TensorFlow is imported only by what trains or converts.
"""
