/* The program itself, run as a user runs it. */
#include "tests/program.h"

#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(cli, .fini = leave_program, .timeout = 120);

Test(cli, help_and_version)
{
    if (!have_program())
        return;
    expect_output("--version", "simclr ");
    expect_output("--help", "selftest");
    expect_output("train --help", "--temperature TAU");
    expect_output("isa --help", "--isa");
    expect_output("selftest --help", "--print-golden");
    expect_output("isa", "brgemm");
    cr_assert_eq(run(""), 2);
}

Test(cli, selftest_shows_what_a_report_needs)
{
    if (!have_program())
        return;
    cr_assert_eq(run("selftest --isa scalar"), 0, "%s", output);
    for (int i = 0; i < 7; i++) {
        static const char *const lines[] = {"simclr ", "compiled by ", "CPU: ", "threads: 1 ", "chosen: scalar", "\ntraining steps ", ", 0 failed in "};
        cr_expect(strstr(output, lines[i]), "expected \"%s\" in: %s", lines[i], output);
    }
    cr_expect_null(strstr(output, "brgemm"), "a case in: %s", output);
    expect_output("selftest -v --isa scalar", "scalar  brgemm ");
}

Test(cli, misuse)
{
    if (!have_program())
        return;
    expect_refusal("trian", 2, "did you mean train?");
    expect_refusal("train --epoch 3", 2, "did you mean --epochs?");
    expect_refusal("train --lr fast", 2, "--lr: 'fast' is not a number");
    expect_refusal("train --n-views 4", 2, "--n-views 4");
    expect_refusal("train --memory 1G --micro-batch 4", 2, "--memory settles the micro-batch: leave out either it or --micro-batch");
    expect_refusal("train --memory 10M", 2, "--memory 10.0M is too little: even with micro-batches of one image this run needs ");
    expect_refusal("train --isa mmx", 2, "scalar");
    expect_refusal("isa --isa mmx", 2, "scalar");
    expect_refusal("selftest --isa mmx", 2, "scalar");
    expect_refusal("train a b", 2, "'b'");
    expect_refusal("train --resume", 2, "-o RUN");
    expect_refusal("train --batch-size 64 " TINY " --batch-size 64 -o r", 2, "--batch-size 64");
    expect_refusal("train /nonexistent -o r", 1, "/nonexistent");
    expect_refusal("train --config /nonexistent -o r", 1, "/nonexistent");
    cr_expect_eq(access("r", F_OK), -1, "a run that never began leaves no folder");
    cr_assert_eq(run("train -o /proc/simclr " TINY), 1);
    cr_assert(strstr(output, "/proc/simclr"), "%s", output);
}

Test(cli, environment_chooses_the_isa)
{
    if (!have_program())
        return;
    setenv("SIMCLR_ISA", "scalar", 1);
    expect_output("isa", "chosen: scalar (SIMCLR_ISA is scalar)");
    setenv("SIMCLR_ISA", "mmx", 1);
    expect_refusal("isa", 2, "SIMCLR_ISA mmx");
    expect_output("isa --isa scalar", "chosen: scalar (--isa is scalar)");
}

Test(cli, train_and_repeat)
{
    if (!have_program())
        return;
    expect_output("train " TINY " --epochs 2", "run folder: runs/shapes-1");
    cr_expect(strstr(output, "no DATA given: training on the generated set"), "%s", output);
    cr_expect(strstr(output, "kNN untrained ") && strstr(output, "%, trained "), "%s", output);
    cr_expect(strstr(output, "epoch 2/2: loss "), "%s", output);
    cr_expect_null(strchr(output, '\r'), "no bar outside of a terminal");
    expect_output("train --config runs/shapes-1/config.json --threads 2", "run folder: runs/shapes-2");
    struct stat st;
    cr_assert_eq(stat("runs/shapes-1/checkpoint-00000010.safetensors", &st), 0, "%s", output);
    cr_expect(same_files("runs/shapes-1/checkpoint-00000010.safetensors", "runs/shapes-2/checkpoint-00000010.safetensors"));
    expect_refusal("train -o runs/shapes-1 " TINY, 2, "already holds a run (checkpoint-00000010.safetensors); go on with --resume");
    expect_refusal("train -o runs/shapes-1 --resume --epochs 3 --threads 1", 2, "--epochs 2, not --epochs 3; a run keeps its epochs, which its learning rate follows");
    expect_output("train -o runs/shapes-1 --resume --threads 1", "the run was complete");
}

Test(cli, export_and_begin_with_it)
{
    if (!have_program())
        return;
    expect_output("train -o r --epochs 1 " TINY, "run folder: r");
    expect_output("export --help", "--head");
    expect_output("export r -o m.safetensors", "m.safetensors: ResNet-18, width 0.25, cifar stem, of r/checkpoint-00000005.safetensors (5 steps)");
    expect_output("export r/checkpoint-00000005.safetensors -o same.safetensors", "features h of 128 columns");
    cr_expect(same_files("m.safetensors", "same.safetensors"));
    expect_refusal("export", 2, "name the run's folder");
    expect_refusal("export r", 2, "name the file to write");
    expect_refusal("export r -o m.pt", 2, "-o m.pt: the file's name must end in .safetensors or .onnx");
    expect_refusal("export r -o m.safetensors", 2, "m.safetensors is there already");
    expect_refusal("export nothing -o n.onnx", 1, "there is no folder nothing");
    expect_refusal("export r -o nothing/n.safetensors", 1, "nothing/n.safetensors");
    expect_output("train -o s --epochs 1 --init m.safetensors " TINY, "beginning with the encoder of ");
    cr_expect(strstr(output, "kNN initial "), "%s", output);
    cr_assert_eq(remove("m.safetensors"), 0);
    expect_output("train -o s --resume --init m.safetensors " TINY, "the run was complete");
    expect_refusal("train -o t --init m.safetensors " TINY, 1, "m.safetensors");
    expect_refusal("train -o t --init same.safetensors --arch resnet34 --image-size 8", 2, "choose the file's --arch");
    cr_expect_eq(access("t", F_OK), -1);
}

Test(cli, the_references_command_line)
{
    if (!have_program())
        return;
    expect_output("train " TINY " --batch_size=32 --lr=0.003 --epochs=1 -o r", "epoch 1/1");
    expect_output("train --config r/config.json -o s --threads 1 --wd 1e-4 --out-dim 16 --temperature 0.07 --n-views 2 -b 32", "epoch 1/1");
    cr_expect(same_files("r/checkpoint-00000001.safetensors", "s/checkpoint-00000001.safetensors"));
}

/* The generated pictures keep their bytes, labels and test split, so nothing that is trained or evaluated changes. */
Test(cli, training_on_a_packed_set_is_training_on_the_set)
{
    if (!have_program())
        return;
    cr_assert_eq(system("mkdir packs"), 0);
    expect_output("pack -o packs/s.npy --limit 40 --threads 2", "packed 40 images of 32 x 32 x 3 into packs/s.npy");
    cr_expect(strstr(output, "labels of 10 classes: packs/s.labels.npy") && strstr(output, "40 images of the test split: packs/s.test.npy"),
              "%s", output);
    cr_assert_eq(run("train packs/s.npy -o packed --epochs 2 " TINY), 0, "%s", output);
    cr_expect(strstr(output, ", data ") && strstr(output, "kNN untrained"), "%s", output);
    cr_assert_eq(run("train -o plain --epochs 2 " TINY), 0, "%s", output);
    cr_expect(same_metrics("packed", "plain"));
    cr_assert_eq(run("train packs/s.npy -o again --epochs 2 --cache none " TINY), 0, "%s", output);
    cr_expect(same_files("packed/checkpoint-00000010.safetensors", "again/checkpoint-00000010.safetensors"));
    expect_refusal("pack -o packs/s.npy", 2, "packs/s.npy is there already");
    expect_refusal("pack --image-size 4 -o t.npy", 2, "--image-size 4");
    expect_refusal("pack", 2, "-o NAME.npy");
    expect_refusal("pack -o t", 2, ".npy");
    expect_refusal("pack /nonexistent -o t.npy", 1, "/nonexistent");
    expect_refusal("pack -o packs/s.npy/t.npy", 1, "cannot create the folder packs/s.npy: Not a directory");
    expect_refusal("pack -o t.npy --epochs 3", 2, "--epochs");
}

static void expect_text(const char *file, const char *expected)
{
    char text[1024];
    FILE *f = fopen(file, "r");
    cr_assert_not_null(f, "%s is not there", file);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    cr_expect_str_eq(text, expected);
}

/* Nothing that a name holds reaches the terminal as it is; what cannot be read is counted and listed. */
Test(cli, names_and_sizes_that_mean_harm)
{
    if (!have_program())
        return;
    static const char name[] = "red\x1b[31m", not_utf8[] = "red\xff";
    for (unsigned i = 0; i < 12; i++)
        write_gradient(temp_path(".", "%s/%u.bmp", name, i), 16, 16, i);
    write_gradient(temp_path(".", "%s/large\nname.bmp", name), 40, 40, 0);
    cr_assert_eq(mkfifo(temp_path(".", "%s/pipe.jpg", name), 0666), 0);
    expect_output("pack red* -o p.npy --max-pixels 1000", "packed 12 images of 16 x 16 x 3 into p.npy");
    cr_expect(strstr(output, "2 broken images were skipped; p.broken.txt lists them"), "%s", output);
    expect_text("p.broken.txt", "large\\x0aname.bmp: 40 x 40 pixels are more than --max-pixels 1000; make it smaller, or raise the limit\n"
                                "pipe.jpg: it is not a regular file\n");
    expect_output("train red* -o r --epochs 1 --max-pixels 1000 " TINY, "/red\\x1b[31m\n");
    cr_expect(!strchr(output, '\x1b') && strstr(output, "broken.txt lists them"), "%s", output);
    cr_assert_eq(run("train red* -o s --max-pixels 255 " TINY), 1);
    cr_expect(strstr(output, "none of the 14 images can be read; ") && strstr(output, "16 x 16 pixels are more than --max-pixels 255"), "%s", output);
    expect_refusal("train red* -o t --max-pixels 0", 2, "--max-pixels: 0 is out of range");
    expect_refusal("pack /nonexistent$(printf '\\033')[31m -o q.npy", 1, "cannot open /nonexistent\\x1b[31m: No such file");
    cr_assert_eq(rename(name, not_utf8), 0);
    cr_assert_eq(run("train red* -o u " TINY), 2);
    cr_expect(strstr(output, "/red\\xff, is not UTF-8; rename it") && !strchr(output, '\xff'), "%s", output);
}

/* Decay of more than the weights themselves: they grow until a variance overflows. */
Test(cli, a_diverging_run_stops_and_its_step_is_replayed)
{
    if (!have_program())
        return;
#define DIVERGING " --optimizer adamw --lr 1000 --wd 10 --epochs 3 --knn-every 0 " TINY
    expect_refusal("train -o r" DIVERGING, 1, "simclr: step 4: the running variance of layer1.0.bn1 has 16 infinities among 16 values");
    cr_expect(strstr(output, "'simclr replay r/nonfinite-00000004' repeats it"), "%s", output);
    cr_expect_eq(system("test \"$(ls r r/nonfinite-00000004 | tr '\\n' ' ')\" = 'r: config.json nonfinite-00000004  "
                        "r/nonfinite-00000004: batch.safetensors checkpoint-00000003.safetensors config.json images.txt '"), 0);
    expect_output("replay r", "layer1.0.bn1                running variance               0             0           0          16  FIRST WRONG\n");
    cr_expect(strstr(output, "first wrong: the running variance of layer1.0.bn1 has 16 infinities"), "%s", output);
    cr_assert_eq(run("replay r --threads 3 >auto.txt"), 0);
    cr_assert_eq(run("replay r/nonfinite-00000004 --isa scalar >scalar.txt"), 0);
    cr_expect_eq(system("sed 1d auto.txt >a && sed 1d scalar.txt >b && cmp a b"), 0, "the same lines on every path");
    cr_expect_neq(run("train -o r --resume --on-nan skip --threads 1"), 0);
    cr_expect(strstr(output, "; skipped\n") && strstr(output, "10 in a row"), "%s", output);
    expect_refusal("replay", 2, "name the folder of a run");
    expect_refusal("replay nowhere", 1, "nowhere");
    expect_refusal("train --on-nan maybe", 2, "--on-nan: 'maybe' is not one of stop, skip");
}

/* A pack of many seconds, once it writes. */
static int interrupt_pack(int signal)
{
    return interrupt_when("s.npy.tmp", 1 << 20, signal, (const char *const[]){
        "simclr", "pack", "-o", "s.npy", "--image-size", "512", "--channels", "1", "--threads", "1", NULL});
}

Test(cli, an_interrupted_pack_leaves_no_file)
{
    if (!have_program())
        return;
    cr_expect_eq(interrupt_pack(SIGINT), 128 + SIGINT);
    cr_expect_eq(system("grep -q '^simclr: stopped after .* of 5000 images; nothing was written' out.txt"), 0);
    cr_expect_eq(system("test \"$(ls)\" = out.txt"), 0, "nothing else is left");
    cr_expect_eq(interrupt_pack(SIGKILL), -SIGKILL);
    cr_expect_eq(system("test ! -e s.npy && test ! -e s.labels.npy && test ! -e s.test.npy"), 0, "a name without .tmp");
    expect_output("pack -o s.npy --limit 20", "packed 20 images"); /* what was left is no hindrance */
    cr_expect_eq(system("ls *.tmp >left.txt 2>&1"), 512, "what was left is gone");
}

/* A run, once its first metrics line is there. */
static int interrupt(const char *run_folder, int signal)
{
    char metrics[256];
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", run_folder);
    return interrupt_when(metrics, 0, signal, (const char *const[]){
        "simclr", "train", "--arch", "resnet18", "--width", "0.25", "--image-size", "8", "--stem", "cifar", "--batch-size", "8", "--limit",
        "40", "--out-dim", "16", "--augment", "cifar", "--threads", "1", "--epochs", "8", "--resume", "-o", run_folder, NULL});
}

Test(cli, an_interrupted_run_goes_on_to_the_same_weights)
{
    if (!have_program())
        return;
    int code = interrupt("stopped", SIGINT);
    cr_assert(code == 128 + SIGINT || code == 0, "exit code %d", code); /* 0: it was done before the signal came */
    if (code) {
        cr_assert_eq(system("grep -q 'simclr: stopped after step' out.txt && grep -q -e '--resume -o stopped' out.txt"), 0);
        expect_output("train --resume -o stopped --threads 1", "kNN untrained");
    }
    code = interrupt("killed", SIGKILL);
    cr_assert(code == -SIGKILL || code == 0, "exit code %d", code);
    cr_assert_eq(run("train --resume -o killed --epochs 8 " TINY), 0, "%s", output);
    expect_output("train -o whole --epochs 8 " TINY, "epoch 8/8");
    cr_assert_eq(system("rm killed/checkpoint-*"), 0); /* no checkpoint yet: its own settings all the same */
    cr_assert_eq(run("train --resume -o killed --threads 1"), 0, "%s", output);
    cr_expect(same_files("stopped/checkpoint-00000040.safetensors", "whole/checkpoint-00000040.safetensors"));
    cr_expect(same_files("killed/checkpoint-00000040.safetensors", "whole/checkpoint-00000040.safetensors"));
    cr_expect_eq(system("test $(wc -l < stopped/metrics.jsonl) = 8 && test $(wc -l < killed/metrics.jsonl) = 8"), 0,
                 "a line an epoch, none twice");
}

/* Both need no more than a user may do: a limit on the size of files, and a namespace of one's own for a small file system. */
Test(cli, a_limit_on_files_is_an_error_and_not_a_death)
{
    if (!have_program())
        return;
    char command[8192];
    snprintf(command, sizeof command, "ulimit -f 64; %s train -o r --epochs 1 " TINY " >out.txt 2>&1; echo $? >>out.txt", binary);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(system("grep -q '^simclr: cannot write r/checkpoint-00000005.safetensors.tmp: File too large' out.txt && "
                        "test \"$(tail -n 1 out.txt)\" = 1 && test \"$(ls r | grep -v tfevents)\" = \"config.json\nmetrics.csv\nmetrics.jsonl\""), 0);
    expect_output("train -o r --resume --threads 1", "kNN untrained");
}

Test(cli, a_full_disk_and_a_read_only_one)
{
    if (!have_program())
        return;
    if (system("unshare -Urm sh -c 'mkdir -p m && mount -t tmpfs none m' 2>/dev/null") != 0)
        cr_skip("this machine gives users no mount namespaces");
    char command[4 * sizeof binary];
    snprintf(command, sizeof command,
             "unshare -Urm sh -ec '"
             "mount -t tmpfs -o size=20m none m; "
             "! %s train -o m/r --epochs 2 --checkpoint-every 2 --keep 0 " TINY " 2>full.txt; ls -A m/r >left.txt; "
             "rm m/r/checkpoint-00000002*; %s train -o m/r --resume --keep 1 --threads 1; cp -r m/r r; "
             "mount -o remount,ro m; ! %s train -o m/r --resume --threads 1 2>read-only.txt' >/dev/null",
             binary, binary, binary);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(system("grep -q '^simclr: cannot write m/r/checkpoint-00000006.safetensors.tmp: No space left on device; free some space$' full.txt"), 0);
    cr_expect_eq(system("test \"$(grep -v tfevents left.txt | tr '\\n' ' ')\" = "
                        "'checkpoint-00000002.safetensors checkpoint-00000004.safetensors config.json metrics.csv metrics.jsonl '"), 0);
    cr_expect_eq(system("grep -q '^simclr: cannot write in the folder m/r: Read-only file system; choose another with -o$' read-only.txt"), 0);
    expect_output("train -o whole --epochs 2 " TINY, "epoch 2/2");
    cr_expect(same_files("r/checkpoint-00000010.safetensors", "whole/checkpoint-00000010.safetensors") && same_metrics("r", "whole"));
}
