package main

// Kernels of one's own: run, check and count.

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"encoding/binary"
)

const saxpy = "testdata/saxpy.ptx"

func TestPTXRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "y.bin")
	args := []string{"ptx", "run", saxpy, "--kernel", "saxpy", "--grid", "2", "--block", "32", "-a", "f32[50]=1", "-a", "f32[50]=ramp", "-a", "0.5", "-a", "50"}
	out := must(t, "", append(args, "--save", "0="+file)...)
	if want := "0 y: 49 of 50 f32 changed: 1 1.5 2 2.5 3 3.5 4 4.5 …\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	data, err := os.ReadFile(file)
	if err != nil || len(data) != 200 {
		t.Fatal(err, len(data))
	}
	for i := range 50 {
		if got, want := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])), 1+float32(i)/2; got != want {
			t.Errorf("y[%d] = %v, want %v", i, got, want)
		}
	}
	again := filepath.Join(t.TempDir(), "again.bin")
	must(t, "", "ptx", "run", saxpy, "--kernel", "saxpy", "--block", "64", "--seed", "7", "-a", "f32[50]=@"+file, "-a", "f32[50]=ramp", "--arg=-0.5", "-a", "50", "--save", "0="+again)
	if data, err := os.ReadFile(again); err != nil || math.Float32frombits(binary.LittleEndian.Uint32(data[4*49:])) != 1 {
		t.Error(err, data[4*49:])
	}
	lines := jsonLines[writtenBuffer](t, must(t, "", append(args, "--json", "--head", "2")...))
	if len(lines) != 2 || lines[0].Changed != 49 || lines[1].Changed != 0 || strings.Join(lines[1].Head, " ") != "0 1" {
		t.Errorf("%+v", lines)
	}
}

func TestPTXArguments(t *testing.T) {
	for _, row := range []struct{ words, head string }{
		{"i8[3]=-2", "-2 -2 -2"}, {"u8[3]=ramp", "0 1 2"}, {"i16[2]=-300", "-300 -300"}, {"u16[2]=65535", "65535 65535"}, {"i64[1]=-9", "-9"}, {"u64[2]=ramp", "0 1"},
		{"f16[2]=0.333", "0.33301 0.33301"}, {"bf16[2]=1.01", "1.008 1.008"}, {"f64[1]=0.1", "0.1"}, {"f32[2]", "NaN NaN"}, {"u32[1]", "4294967295"},
	} {
		lines := jsonLines[writtenBuffer](t, must(t, "", "ptx", "run", saxpy, "--kernel", "saxpy", "--block", "1", "-a", "f32[1]=0", "-a", row.words, "-a", "1", "-a", "0", "--json"))
		if got := strings.Join(lines[1].Head, " "); got != row.head {
			t.Errorf("%s: %s, want %s", row.words, got, row.head)
		}
	}
	for _, row := range [][]string{
		{"f32[1]", "1"}, {"f32[0]", "f32[1]", "1", "1"}, {"f32[1]=x", "f32[1]", "1", "1"}, {"f99[1]", "f32[1]", "1", "1"}, {"f32[1]", "f32[1]", "x", "1"},
		{"f32[1]", "f32[1]", "1", "1.5"}, {"f32[1]", "f32[1]", "1", "4294967296"}, {"f32[1]", "f32[1]", "f32[1]", "1"}, {"f32[9999999999]", "f32[1]", "1", "1"}, {"f32[1]=@/nowhere", "f32[1]", "1", "1"},
	} {
		args := []string{"ptx", "run", saxpy, "--kernel", "saxpy", "--block", "1"}
		for _, w := range row {
			args = append(args, "-a", w)
		}
		if got := command(t, "", args...); got.status != statusUsage {
			t.Errorf("%q: status %d, %s", row, got.status, got.stderr)
		}
	}
}

func TestPTXCheck(t *testing.T) {
	out := must(t, "", "ptx", "check", saxpy)
	if !strings.Contains(out, "PTX 6.3 for sm_75, 2 kernels") || !strings.Contains(out, "saxpy(.u64 y, .u64 x, .f32 a, .s32 n)") {
		t.Error(out)
	}
	if out := must(t, "", "ptx", "check", saxpy, "--kernel", "saxpy", "--block", "64", "-a", "f32[50]=1", "-a", "f32[50]=ramp", "-a", "2", "-a", "50"); strings.Count(out, "no fault") < 6 {
		t.Error(out)
	}
	for _, row := range []struct {
		says string
		args []string
	}{
		{"race", []string{"--kernel", "neighbour", "--block", "64", "-a", "f32[64]", "-a", "f32[64]=ramp"}},
		{"uninitialised", []string{"--kernel", "neighbour", "--block", "32", "-a", "f32[64]", "-a", "f32[64]=ramp"}},
		{"out of bounds", []string{"--kernel", "saxpy", "--block", "64", "-a", "f32[40]=1", "-a", "f32[50]=ramp", "-a", "2", "-a", "50"}},
	} {
		got := command(t, "", append([]string{"ptx", "check", saxpy}, row.args...)...)
		if got.status != statusFailed || !strings.Contains(got.stderr, row.says) || !strings.Contains(got.stderr, "PTX line") {
			t.Errorf("%q: status %d, %s", row.args, got.status, got.stderr)
		}
	}
	if got := command(t, ".version 6.3\n.target sm_75\n.address_size 64\n.visible .entry k()\n{\n\tfly.u32 1;\n}\n", "ptx", "check", "-"); got.status == 0 || !strings.Contains(got.stderr, ":6:") {
		t.Errorf("an unknown opcode: %+v", got)
	}
}

func TestPTXStat(t *testing.T) {
	args := []string{"ptx", "stat", saxpy, "--kernel", "saxpy", "--grid", "2", "--block", "64", "-a", "f32[128]=1", "-a", "f32[128]=ramp", "-a", "2", "-a", "128"}
	o := jsonLines[stat](t, must(t, "", append(args, "--json", "--lines")...))[0]
	if o.CTAs != 2 || o.Total.FLOPs != 256 || o.Total.LoadSectors != 32 || o.Total.LoadBytes != 1024 || o.Total.StoreSectors != 16 || o.Instructions["fma.rn.f32"] != 4 || len(o.Lines) == 0 {
		t.Errorf("%+v", o)
	}
	if out := must(t, "", args...); !strings.Contains(out, "100 % of them asked for") || !strings.Contains(out, "fma.rn.f32") {
		t.Error(out)
	}
}
