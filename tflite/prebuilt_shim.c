/* What the crate tflitec 0.7.0 wants of TensorFlow Lite that the prebuilt 2.9 library lacks or does differently. The
 * linker takes these before the library's. */

#include "tensorflow/lite/c/c_api.h"
#include "tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h"

/* In 2.9 the XNNPACK delegate has its int8 and uint8 kernels compiled in but switched off by default, and tflitec takes
 * the default. Without them an int8 model runs about eight times slower. */
TfLiteXNNPackDelegateOptions TfLiteXNNPackDelegateOptionsDefault(void)
{
	TfLiteXNNPackDelegateOptions options = {
		.num_threads = 0,
		.flags = TFLITE_XNNPACK_DELEGATE_FLAG_QS8 | TFLITE_XNNPACK_DELEGATE_FLAG_QU8,
	};
	return options;
}

/* Signatures are younger than this library: it says that a model has none, so that no runner can be made. */
int32_t TfLiteInterpreterGetSignatureCount(const TfLiteInterpreter *interpreter)
{
	(void)interpreter;
	return 0;
}

const char *TfLiteInterpreterGetSignatureKey(const TfLiteInterpreter *interpreter, int32_t index)
{
	(void)interpreter, (void)index;
	return "";
}

TfLiteSignatureRunner *TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter *interpreter, const char *key)
{
	(void)interpreter, (void)key;
	return NULL;
}

/* No runner, so none of these is ever called; the linker still wants them. */
size_t TfLiteSignatureRunnerGetInputCount(const TfLiteSignatureRunner *runner)
{
	(void)runner;
	return 0;
}

const char *TfLiteSignatureRunnerGetInputName(const TfLiteSignatureRunner *runner, int32_t index)
{
	(void)runner, (void)index;
	return "";
}

TfLiteStatus TfLiteSignatureRunnerResizeInputTensor(TfLiteSignatureRunner *runner, const char *name, const int *dims,
						    int32_t dims_size)
{
	(void)runner, (void)name, (void)dims, (void)dims_size;
	return kTfLiteError;
}

TfLiteStatus TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner *runner)
{
	(void)runner;
	return kTfLiteError;
}

TfLiteTensor *TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner *runner, const char *name)
{
	(void)runner, (void)name;
	return NULL;
}

TfLiteStatus TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner *runner)
{
	(void)runner;
	return kTfLiteError;
}

size_t TfLiteSignatureRunnerGetOutputCount(const TfLiteSignatureRunner *runner)
{
	(void)runner;
	return 0;
}

const char *TfLiteSignatureRunnerGetOutputName(const TfLiteSignatureRunner *runner, int32_t index)
{
	(void)runner, (void)index;
	return "";
}

const TfLiteTensor *TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner *runner, const char *name)
{
	(void)runner, (void)name;
	return NULL;
}

void TfLiteSignatureRunnerDelete(TfLiteSignatureRunner *runner)
{
	(void)runner;
}
